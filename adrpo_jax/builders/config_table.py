"""The values that each config key takes, for images and for language models.

Meaning and default of a key stand in `configs/`, beside the key. A * stands for
any name. A number for which nothing could be learned is out of the range.
"""

from adrpo_jax.builders.families import FAMILIES
from adrpo_jax.builders.generators.base import REMAT_POLICIES
from adrpo_jax.builders.generators.flow import SIGMAS, SOLVERS
from adrpo_jax.builders.mesh_rule import GATHERS
from adrpo_jax.builders.precision import AUTO, PRECISIONS
from adrpo_jax.method.advantages import ZERO_VARIANCE
from adrpo_jax.method.kl_estimators import ESTIMATORS, REFUSED
from adrpo_jax.method.language_methods import ADVANTAGES, AGGREGATIONS, RATIOS
from adrpo_jax.models.decoder.architectures import ARCHITECTURES
from adrpo_jax.models.decoder.chat_tokenizer import TEMPLATES
from adrpo_jax.models.omni.architectures import (
  ARCHITECTURES as OMNI_ARCHITECTURES,
)
from adrpo_jax.models.sd3 import folder as sd3_folder
from adrpo_jax.rewards.normalizers import NORMALIZERS
from adrpo_jax.rewards.remote.image_encodings import ENCODINGS
from adrpo_jax.rewards.text.answers import EXTRACTS
from adrpo_jax.system.config_values import (
  FLAG,
  NAMES,
  PATTERN,
  SPAN,
  TEXT,
  Values,
  choice,
  different,
  either,
  number,
  only,
  whole,
)
from adrpo_jax.worlds import AUDIO_WORLDS, TEXT_WORLDS, WORLDS

NONE = ('',)
COUNT = whole(1)
# Of what stands in memory: with more, a run dies before it can say why.
SIZE = whole(1, 10**6)
NONE_OR_COUNT = whole(0)
NONE_OR_SIZE = whole(0, 10**6)
POSITIVE = number(above=0)
NOT_NEGATIVE = number(least=0)
SHARE = number(least=0, most=1)
DECAY = number(least=0, below=1)
GUIDANCE = number(least=1)
DTYPE = choice(['float32', 'bfloat16'])

RUN: dict[str, Values] = {
  'seed': NONE_OR_COUNT,
  'steps': COUNT,
  'model.family': choice(FAMILIES),
  'model.path': TEXT,
  'model.lora_rank': NONE_OR_SIZE,
  'model.lora_alpha': POSITIVE,
  'model.lora_targets': PATTERN,
  'model.dtype': DTYPE,
  'model.param_dtype': DTYPE,
  'prompts.source': TEXT,
  'prompts.eval_prompts': TEXT,
  'prompts.text_column': TEXT,
  'prompts.prompts_per_step': SIZE,
  'prompts.group_size': SIZE,
  'training.learning_rate': POSITIVE,
  'training.updates_per_rollout': COUNT,
  'training.warmup_steps': NONE_OR_COUNT,
  'training.weight_decay': NOT_NEGATIVE,
  'training.max_grad_norm': POSITIVE,
  'training.ema_decay': DECAY,
  'training.extrapolation': POSITIVE,
  'training.reference_sync_steps': NONE_OR_COUNT,
  'eval.every': NONE_OR_COUNT,
  'eval.num_prompts': SIZE,
  'eval.group_size': SIZE,
  'eval.batch_size': SIZE,
  'checkpoint.every': NONE_OR_COUNT,
  'checkpoint.max_to_keep': whole(2),
  'log.tensorboard': FLAG,
  'log.wandb.project': TEXT,
  'log.profile': SPAN,
  'mesh.data': either(only(-1), SIZE),
  'mesh.fsdp': either(only(0), SIZE),
  'mesh.tensor': SIZE,
  'compute.products': choice((AUTO,), PRECISIONS),
  'compute.scan_layers': FLAG,
  'compute.remat_policy': choice(REMAT_POLICIES),
  'compute.microbatches': SIZE,
  'compute.reward_chunks': SIZE,
  'method.name': TEXT,
  'method.python': TEXT,
  'method.dpo.pairs': TEXT,
  'method.*.zero_variance': choice(ZERO_VARIANCE),
  'reward.python': TEXT,
  'reward.monitor_only': NAMES,
  'reward.invalid_limit': SHARE,
  'reward.weights.*': number(),
  # A name, or a group with the name and the parameters.
  'reward.normalize.*': choice(NORMALIZERS)._replace(grouped=True),
  'reward.*.batch_size': SIZE,
  'reward.*.workers': SIZE,
  'reward.remote.url': TEXT,
  'reward.remote.token_from': TEXT,
  'reward.remote.encoding': choice(ENCODINGS),
  'reward.remote.timeout': POSITIVE,
  'reward.remote.retries': NONE_OR_COUNT,
  'reward.remote.backoff': NOT_NEGATIVE,
}

IMAGES: dict[str, Values] = {
  'world': choice(NONE, WORLDS),
  'model.architecture': choice(NONE, sd3_folder.ARCHITECTURES),
  'model.resolution': SIZE,
  'model.t5_length': SIZE,
  'model.decode_tile': NONE_OR_SIZE,
  'sampler.steps': SIZE,
  'sampler.shift': NOT_NEGATIVE,
  'sampler.solver': choice(SOLVERS),
  'sampler.eta': NOT_NEGATIVE,
  'sampler.trained_steps': NONE_OR_SIZE,
  'sampler.guidance_scale': GUIDANCE,
  'training.guidance_scale': GUIDANCE,
  'training.noise_draws': SIZE,
  'training.sigma_distribution': choice(SIGMAS),
  'eval.guidance_scales': different(GUIDANCE),
  'compute.decode_chunks': SIZE,
  'compute.gather': choice(('auto',), GATHERS),
  'method.adrpo.beta0': POSITIVE,
  'method.adrpo.advantage_clip': POSITIVE,
  'method.adrpo.policy_advantage_clip': NOT_NEGATIVE,
  'method.adrpo.allow_unstable': FLAG,
  'method.orw_cfm_w2.tau': POSITIVE,
  'method.orw_cfm_w2.alpha': NOT_NEGATIVE,
  'method.orw_cfm_w2.refresh': COUNT,
  'method.fixed_w2.beta': POSITIVE,
  'method.fixed_w2.advantage_clip': POSITIVE,
  'method.nft.beta': POSITIVE,
  'method.nft.clip': POSITIVE,
  'method.nft.reference_weight': NOT_NEGATIVE,
  'method.nft.old_decay': DECAY,
  'method.nft.old_decay_steps': COUNT,
  'method.nft.self_normalized': FLAG,
  'method.ram.beta': POSITIVE,
  'method.ram.advantage_clip': POSITIVE,
  'method.awm.beta': NOT_NEGATIVE,
  'method.awm.clip': POSITIVE,
  'method.awm.clip_range': POSITIVE,
  'method.awm.ema_weight': NOT_NEGATIVE,
  'method.awm.ema_decay': DECAY,
  'method.awm.ema_decay_steps': COUNT,
  'method.rwr.temperature': POSITIVE,
  'method.dpo.beta': POSITIVE,
  'method.flow_grpo.beta': NOT_NEGATIVE,
  'method.flow_grpo.clip': POSITIVE,
  'method.flow_grpo.clip_range': POSITIVE,
  'reward.shapes.success_weight': SHARE,
  'reward.shapes.spread_weight': NOT_NEGATIVE,
  'reward.clip_score.path': TEXT,
  'reward.pick_score.path': TEXT,
  'reward.pick_score.divided_by': POSITIVE,
  'reward.hps_v2.path': TEXT,
  'reward.hps_v2.base': TEXT,
  'reward.aesthetic.path': TEXT,
  'reward.aesthetic.head': TEXT,
  'reward.jpeg_compressibility.quality': whole(1, 95),
  'reward.jpeg_incompressibility.quality': whole(1, 95),
}

TEXTS: dict[str, Values] = {
  'world': choice(NONE, TEXT_WORLDS),
  'model.architecture': choice(NONE, ARCHITECTURES),
  'model.template': choice(TEMPLATES),
  'model.system': TEXT,
  'model.template_arguments': TEXT,
  'prompts.answer_column': TEXT,
  'prompts.max_prompt_length': SIZE,
  'sampler.max_completion_length': SIZE,
  'sampler.temperature': POSITIVE,
  # One token leaves nothing to compare.
  'sampler.top_k': either(only(0), whole(2)),
  'sampler.top_p': number(above=0, most=1),
  'sampler.max_num_seqs': NONE_OR_COUNT,
  'eval.temperature': NOT_NEGATIVE,
  'compute.logits_chunk': COUNT,
  'compute.shared_prefix': FLAG,
  'method.adrpo.beta0': NOT_NEGATIVE,
  'method.adrpo.scale': NOT_NEGATIVE,
  'method.adrpo.clip': NOT_NEGATIVE,
  'method.adrpo.guard': FLAG,
  'method.grpo.beta': NOT_NEGATIVE,
  'method.rloo.beta': NOT_NEGATIVE,
  'method.dpo.beta': POSITIVE,
  'method.*.advantage': choice(ADVANTAGES),
  'method.*.ratio': choice(RATIOS),
  'method.*.clip_low': number(above=0, below=1),
  'method.*.clip_high': POSITIVE,
  'method.*.dual_clip': either(only(0), number(above=1)),
  'method.*.kl': choice(ESTIMATORS, reasons=REFUSED),
  'method.*.aggregation': choice(AGGREGATIONS),
  'reward.exact_match.answer': choice(EXTRACTS),
  'reward.choice_match.answer': choice(EXTRACTS),
  'reward.number_match.answer': choice(EXTRACTS),
  'reward.number_match.tolerance': NOT_NEGATIVE,
  'reward.math_match.seconds': POSITIVE,
  'reward.reasoning_gym.seconds': POSITIVE,
  'reward.regex_format.pattern': PATTERN,
  'reward.soft_overlong.limit': COUNT,
  'reward.soft_overlong.margin': COUNT,
  'reward.soft_overlong.tokenizer': TEXT,
  'reward.sort.success_weight': SHARE,
  'reward.reward_model.path': TEXT,
  'reward.reward_model.template': choice(['chat', 'none']),
  'reward.reward_model.max_length': COUNT,
  'reward.reward_model.dtype': DTYPE,
  'reward.reward_model.fsdp': SIZE,
  'reward.reward_model.tensor': SIZE,
}

# Beside the keys of texts.
AUDIO: dict[str, Values] = {
  'world': choice(NONE, AUDIO_WORLDS),
  'model.architecture': choice(NONE, OMNI_ARCHITECTURES),
  'model.train_tower': FLAG,
  'model.template': choice(['chat']),
  'prompts.audio_column': TEXT,
  'prompts.choices_column': TEXT,
  'prompts.choices': choice(['shuffled', 'given']),
  'prompts.instruction': TEXT,
  'audio.max_seconds': POSITIVE,
  'eval.silent_audio': FLAG,
}

PRETRAIN: dict[str, Values] = {
  'seed': NONE_OR_COUNT,
  'model.family': choice(FAMILIES),
}
_STAGE = {
  'steps': NONE_OR_COUNT,
  'batch_size': SIZE,
  'learning_rate': POSITIVE,
  'ema_decay': DECAY,
  'save_every': NONE_OR_COUNT,
}
_STAGES = ('autoencoder', 'text_encoder', 'flow', 'distillation', 'decoder')
PRETRAIN_IMAGES: dict[str, Values] = {
  'world': choice(WORLDS),
  'model.path': TEXT,
  'pretrain.images': whole(1, 10**7),
  'pretrain.corruption': SHARE,
  'pretrain.shares.*': NOT_NEGATIVE,
  'pretrain.transformer.num_layers': SIZE,
  'pretrain.transformer.num_attention_heads': SIZE,
  'pretrain.transformer.attention_head_dim': SIZE,
  'pretrain.kl': NOT_NEGATIVE,
  'pretrain.guidance': GUIDANCE,
  'pretrain.shift': POSITIVE,
  **{
    f'pretrain.{stage}.{key}': values
    for stage in _STAGES
    for key, values in _STAGE.items()
  },
}
PRETRAIN_TEXTS: dict[str, Values] = {
  'world': choice(TEXT_WORLDS),
  'pretrain.steps': COUNT,
  'pretrain.batch_size': SIZE,
  'pretrain.learning_rate': POSITIVE,
  'pretrain.ema_decay': DECAY,
  'pretrain.save_every': NONE_OR_COUNT,
  'pretrain.samples': SIZE,
  'pretrain.max_completion_length': SIZE,
}

# Beside the keys of texts.
PRETRAIN_AUDIO: dict[str, Values] = {
  'world': choice(AUDIO_WORLDS),
  'pretrain.solved_steps': NONE_OR_COUNT,
}

# Keys of a family -> rows of its config of fine-tuning, of pre-training.
FINE_TUNING = {
  'flow': RUN | IMAGES,
  'language': RUN | TEXTS,
  'audio': RUN | TEXTS | AUDIO,
}
PRETRAINING = {
  'flow': PRETRAIN | PRETRAIN_IMAGES,
  'language': PRETRAIN | PRETRAIN_TEXTS,
  'audio': PRETRAIN | PRETRAIN_TEXTS | PRETRAIN_AUDIO,
}
