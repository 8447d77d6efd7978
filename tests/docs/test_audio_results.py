"""The page of answers to benchmarks: commands print what the page shows."""

import contextlib
import io
import shlex
import sys

from absl.testing import flagsaver
from pages import ROOT, blocks
import pytest
import small_run

from adrpo_jax.compare import __main__ as compare

PAGE = ROOT / 'docs' / 'audio_results.md'
BLOCKS = list(blocks(PAGE))


def printed(command):
  """What a command of the page prints, in this process."""
  python, m, module, *flags = shlex.split(command.replace('\\\n', ''))
  assert (python, m) == ('python', '-m')
  if module == 'adrpo_jax.main':
    status, out, _ = small_run.call(*flags)
  else:
    out, saved = io.StringIO(), flagsaver.save_flag_values()
    words = [module, f'--config={ROOT}/configs/t2i.py', *flags]
    with (
      pytest.MonkeyPatch.context() as patch,
      contextlib.redirect_stdout(out),
    ):
      patch.setattr(sys, 'argv', words)
      try:
        status = compare.main(words)
      finally:
        flagsaver.restore_flag_values(saved)
    out = out.getvalue()
  assert status == 0
  return out


def test_commands_print_what_the_page_shows(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  made, *_ = (block for block in BLOCKS if block.kind == 'python')
  exec(compile(made.text, made.name, 'exec'), {})
  shown = [block.text for block in BLOCKS if block.kind == 'text']
  commands = [block.text for block in BLOCKS if block.kind == 'sh']
  assert len(shown) == len(commands) == 2
  for command, expected in zip(commands, shown, strict=True):
    assert printed(command).strip() == expected.strip()


def test_the_table_of_p_is_what_the_page_computes(capsys):
  *_, block = (block for block in BLOCKS if block.kind == 'python')
  exec(compile(block.text, block.name, 'exec'), {})
  for line in capsys.readouterr().out.splitlines():
    assert f'| {" | ".join(line.split())} |' in PAGE.read_text()
