"""Tiny thinkers of Qwen2.5-Omni: random weights of transformers' classes."""

import numpy as np
import torch
import transformers

AUDIO = {
  'd_model': 32,
  'encoder_layers': 2,
  'encoder_attention_heads': 4,
  'encoder_ffn_dim': 64,
  'num_mel_bins': 16,
  'n_window': 10,
  'output_dim': 24,
  'max_source_positions': 64,
}
VISION = {
  'depth': 1,
  'hidden_size': 16,
  'intermediate_size': 16,
  'num_heads': 2,
  'out_hidden_size': 24,
  'fullatt_block_indexes': [0],
}
TEXT = {
  'vocab_size': 64,
  'hidden_size': 24,
  'intermediate_size': 48,
  'num_hidden_layers': 2,
  'num_attention_heads': 2,
  'num_key_value_heads': 1,
  'max_position_embeddings': 512,
  'rope_parameters': {
    'rope_type': 'default',
    'rope_theta': 1e6,
    'mrope_section': [2, 2, 2],
  },
}
AUDIO_TOKEN, START, END, PAD = 60, 58, 59, 56
IDS = {
  'audio_token_index': AUDIO_TOKEN,
  'image_token_index': 61,
  'video_token_index': 62,
  'audio_start_token_id': START,
  'audio_end_token_id': END,
  'vision_start_token_id': 57,
  'pad_token_id': PAD,
}
WINDOW = 2 * AUDIO['n_window']


def theirs(**changes):
  """A thinker whose norms are not ones and whose biases are not zeros."""
  torch.manual_seed(0)
  config = transformers.Qwen2_5OmniThinkerConfig(
    audio_config=AUDIO, vision_config=VISION, text_config=TEXT, **IDS | changes
  )
  model = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      parameter.copy_(0.2 * torch.randn_like(parameter))
      if 'norm' in name and parameter.ndim == 1 and name.endswith('weight'):
        parameter.add_(1)
  return model.eval()


def clips(lengths, seed=0):
  """Random log-mel clips [f, 16], one for each length."""
  rng = np.random.default_rng(seed)
  return [
    rng.normal(size=(length, AUDIO['num_mel_bins'])).astype(np.float32)
    for length in lengths
  ]


def chunked(mels, window=WINDOW):
  """Clips as the tower takes them: mel [P, C, 2n, M] and frames [P].

  What lies beyond a clip is 9, so that a tower that read it would show.
  """
  frames = np.array([len(mel) for mel in mels])
  chunks = -(-frames.max() // window)
  rows = np.full((len(mels), chunks * window, mels[0].shape[1]), 9, np.float32)
  for row, mel in zip(rows, mels, strict=True):
    row[: len(mel)] = mel
  return rows.reshape(len(mels), chunks, window, -1), frames


def their_audio(mels):
  """Clips as transformers takes them: features [B, M, F] and their mask."""
  longest = max(map(len, mels))
  features = torch.zeros(len(mels), mels[0].shape[1], longest)
  mask = torch.zeros(len(mels), longest, dtype=torch.long)
  for i, mel in enumerate(mels):
    features[i, :, : len(mel)] = torch.tensor(mel.T)
    mask[i, : len(mel)] = 1
  return {'input_features': features, 'feature_attention_mask': mask}
