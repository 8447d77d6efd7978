"""Compares Qwen2 and Qwen3 with transformers: logits, gradients, folders."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

from closeness import TOLERANCE, check_gradients, distance
import tiny_decoders
from tiny_decoders import MASK, TOKENS

from adrpo_jax.models.compute import Compute
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder import weight_table as decoder_table
from adrpo_jax.models.decoder.cached_decoder import (
  CachedDecoder,
  unstack_layers,
)
from adrpo_jax.models.decoder.decoder import (
  Decoder,
  Scorer,
  output_embedding,
  position_ids,
)
from adrpo_jax.models.decoder.log_probs import logits
from adrpo_jax.models.files import weight_table

pytestmark = pytest.mark.parity

LOOP = Compute(scan_layers=True)
ROWS = decoder_table.decoder_rows()


@pytest.mark.parametrize('tied', [False, True], ids=['untied', 'tied'])
@pytest.mark.parametrize('kind', tiny_decoders.KINDS)
def test_logits_and_gradients(kind, tied, tmp_path):
  """Rows are padded on the left; the loss reads only real tokens."""
  theirs = tiny_decoders.theirs(kind, tied=tied)
  theirs.save_pretrained(tmp_path)
  expected = tiny_decoders.their_logits(theirs)
  (expected[torch.tensor(MASK)] ** 2).sum().backward()

  model = decoder_folder.read(tmp_path)
  assert model.config.tie_word_embeddings == tied
  ours, params = Decoder(model.config, LOOP), tiny_decoders.load(tmp_path)

  def loss(params):
    result = tiny_decoders.our_logits(ours, params)
    return jnp.sum(jnp.where(MASK[..., None], result, 0) ** 2), result

  gradients, result = jax.jit(jax.grad(loss, has_aux=True))(params)
  result = np.asarray(result)
  assert distance(result[MASK], expected.detach().numpy()[MASK]) < TOLERANCE
  check_gradients(
    weight_table.to_hf(ROWS, gradients), dict(theirs.named_parameters())
  )


def test_a_tied_config_beside_another_head(tmp_path):
  """Both of us use the head of the file, and say so."""
  tiny_decoders.theirs('Qwen2').save_pretrained(tmp_path)
  path = tmp_path / 'config.json'
  fields = json.loads(path.read_text()) | {'tie_word_embeddings': True}
  path.write_text(json.dumps(fields))
  theirs = transformers.AutoModelForCausalLM.from_pretrained(
    tmp_path, attn_implementation='eager'
  )
  expected = tiny_decoders.their_logits(theirs).detach().numpy()
  ours = Decoder(decoder_folder.read(tmp_path).config, LOOP)
  result = tiny_decoders.compiled(ours, tiny_decoders.load(tmp_path))
  assert distance(result[MASK], expected[MASK]) < TOLERANCE


@pytest.mark.parametrize('kind', tiny_decoders.KINDS)
def test_cached_decoding(kind, tmp_path):
  """We read five tokens at once and four one by one; theirs reads all nine."""
  theirs = tiny_decoders.theirs(kind)
  theirs.save_pretrained(tmp_path)
  expected = tiny_decoders.their_logits(theirs).detach().numpy()
  ours = CachedDecoder(decoder_folder.read(tmp_path).config)
  params = tiny_decoders.load(tmp_path)
  rows = TOKENS, position_ids(jnp.asarray(MASK)), MASK

  def decoded(params, rows):
    first = [row[:, :5] for row in rows]
    unstacked = unstack_layers(params)
    hidden, cache = ours.apply(unstacked, *first, 9, method='prefill')

    def step(cache, row):
      row = [part[:, None] for part in row]
      x, cache = ours.apply(unstacked, *row, cache, method='extend')
      return cache, x[:, 0]

    later = [row[:, 5:].T for row in rows]
    _, states = jax.lax.scan(step, cache, later)
    all_states = jnp.concatenate([hidden, states.swapaxes(0, 1)], 1)
    return logits(all_states, output_embedding(params))

  result = np.asarray(jax.jit(decoded)(params, rows))
  assert distance(result[MASK], expected[MASK]) < TOLERANCE


@pytest.mark.parametrize('side', ['left', 'right'])
@pytest.mark.parametrize('kind', tiny_decoders.KINDS)
def test_scores(kind, side, tmp_path):
  theirs = tiny_decoders.theirs(
    kind, 'SequenceClassification', num_labels=1, pad_token_id=0
  )
  theirs.save_pretrained(tmp_path)
  tokens, mask = (
    rows if side == 'left' else rows[:, ::-1].copy() for rows in (TOKENS, MASK)
  )
  expected = tiny_decoders.their_logits(theirs, tokens, mask)[:, 0]
  (expected**2).sum().backward()
  model = decoder_folder.read(tmp_path)
  ours = Scorer(model.config, LOOP)
  params = decoder_folder.load_scorer(model, jnp.float32, lambda shapes: shapes)
  positions = position_ids(jnp.asarray(mask))

  def loss(params):
    scores = ours.apply(params, tokens, positions, mask)
    return jnp.sum(scores**2), scores

  gradients, scores = jax.jit(jax.grad(loss, has_aux=True))(params)
  assert distance(scores, expected.detach()) < TOLERANCE
  check_gradients(
    weight_table.to_hf(ROWS, gradients), dict(theirs.named_parameters())
  )


@pytest.mark.parametrize('tied', [False, True], ids=['untied', 'tied'])
@pytest.mark.parametrize('kind', tiny_decoders.KINDS)
def test_a_folder_of_ours_loads_in_transformers(kind, tied, tmp_path):
  """Saves with the fields of the original config, and with our own fields."""
  theirs = tiny_decoders.theirs(kind, tied=tied)
  theirs.save_pretrained(tmp_path / 'theirs')
  expected = tiny_decoders.their_logits(theirs).detach()
  model = decoder_folder.read(tmp_path / 'theirs')
  params = tiny_decoders.load(tmp_path / 'theirs')
  for i, fields in enumerate(
    (model.fields, decoder_folder.config_fields(model.config))
  ):
    folder = tmp_path / str(i)
    decoder_folder.save(folder, fields, params)
    again, info = transformers.AutoModelForCausalLM.from_pretrained(
      folder, output_loading_info=True, attn_implementation='eager'
    )
    assert not info['missing_keys']
    assert not info['unexpected_keys']
    assert type(again) is type(theirs)
    result = tiny_decoders.their_logits(again.eval()).detach()
    assert torch.equal(result[torch.tensor(MASK)], expected[torch.tensor(MASK)])


def test_a_sharded_set_of_theirs(tmp_path):
  theirs = tiny_decoders.theirs('Qwen3')
  theirs.save_pretrained(tmp_path, max_shard_size='20KB')
  assert (tmp_path / 'model.safetensors.index.json').is_file()
  assert not (tmp_path / 'model.safetensors').exists()
  result = weight_table.to_hf(ROWS, tiny_decoders.load(tmp_path))
  state = theirs.state_dict()
  assert set(result) == set(state)
  for name, tensor in state.items():
    np.testing.assert_array_equal(result[name], tensor.numpy())
