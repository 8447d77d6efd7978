"""Puts a copy of `configs/` into the wheel; pyproject.toml says the rest."""

import pathlib

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = pathlib.Path(__file__).parent / 'configs'


class BuildWithConfigs(build_py):
  """Adds adrpo_jax/presets/configs, where an installed package looks."""

  def run(self):
    """Builds the modules; an editable install reads `configs/` itself."""
    super().run()
    if self.editable_mode:
      return
    folder = pathlib.Path(self.build_lib, 'adrpo_jax', 'presets', 'configs')
    self.mkpath(str(folder))
    for file in sorted(CONFIGS.glob('*.*')):
      self.copy_file(str(file), str(folder / file.name))


setup(cmdclass={'build_py': BuildWithConfigs})
