"""Files of prompts, written for a test."""

import pytest


@pytest.fixture
def write(tmp_path):
  def write(name, content):
    path = tmp_path / name
    path.write_bytes(
      content if isinstance(content, bytes) else content.encode()
    )
    return str(path)

  return write
