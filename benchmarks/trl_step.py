"""Iterations of GRPO by TRL's GRPOTrainer, timed."""

from collections.abc import Callable
import tempfile
import time
from typing import Any, NamedTuple

import datasets
import transformers
from trl import GRPOConfig, GRPOTrainer

from benchmarks import timing


class Work(NamedTuple):
  """How much a step does, and how many there are.

  texts:  one prompt each
  length: tokens of every completion
  """

  texts: list[str]
  samples: int
  length: int
  repeats: int


def run(
  folder: str,
  work: Work,
  judge: Callable[[str, str, Any], float],
  *,
  limit: Callable[[], float] = lambda: float('inf'),
  report: Callable[[list[timing.Seconds]], Any] = lambda seconds: None,
  **settings: Any,
) -> list[timing.Seconds]:
  """The seconds of all steps: `rollout`, which transformers generates, `step`.

  Args:
    folder: of the model, with a tokenizer.
    work: what a step does. TRL is told not to end a completion earlier.
    judge: (prompt, completion, answer) -> reward.
    limit: () -> seconds that are left; where none are, the training stops at
      the end of a step.
    report: is called after each step with all so far.
    settings: of GRPOConfig, such as beta, learning_rate and bf16.
  """
  seconds: list[timing.Seconds] = []

  class Clock(transformers.TrainerCallback):
    """Notes when steps begin and end."""

    def on_step_begin(self, args, state, control, **kwargs):
      self.since = time.perf_counter()
      seconds.append({'rollout': 0.0})

    def on_step_end(self, args, state, control, **kwargs):
      wait()
      seconds[-1]['step'] = time.perf_counter() - self.since
      report(seconds)
      if limit() <= 0:
        control.should_training_stop = True

  def reward(prompts, completions, **others):
    return [
      judge(p, c, None) for p, c in zip(prompts, completions, strict=True)
    ]

  rows = [{'prompt': text} for text in work.texts]
  rows = rows * (timing.WARM_UP + work.repeats + 1)
  with tempfile.TemporaryDirectory() as workdir:
    trainer = GRPOTrainer(
      model=folder,
      reward_funcs=reward,
      args=GRPOConfig(
        output_dir=workdir,
        report_to=[],
        save_strategy='no',
        disable_tqdm=True,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        per_device_train_batch_size=len(work.texts) * work.samples,
        num_generations=work.samples,
        max_completion_length=work.length,
        generation_kwargs={'min_new_tokens': work.length},
        temperature=1.0,
        max_steps=timing.WARM_UP + work.repeats,
        logging_strategy='no',
        **settings,
      ),
      train_dataset=datasets.Dataset.from_list(rows),
      callbacks=[Clock()],
    )
    generate = trainer.model.generate

    def timed_generate(*args, **kwargs):
      since = time.perf_counter()
      tokens = generate(*args, **kwargs)
      wait()
      seconds[-1]['rollout'] += time.perf_counter() - since
      return tokens

    trainer.model.generate = timed_generate
    trainer.train()
  return seconds


def wait() -> None:
  """Returns once the device has done what it was given."""
  import torch

  if torch.cuda.is_available():
    torch.cuda.synchronize()
