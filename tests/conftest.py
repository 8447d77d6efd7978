"""Eight virtual CPU devices and one compile cache for all tests."""

import gc
import importlib.metadata
import os
import pathlib
import tempfile

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
FLAGS = [
  # Most of the time of a test is that of the compiler, and programs are small.
  '--xla_backend_optimization_level=0',
  # A program that is split to be compiled in parallel takes a tenth longer on
  # cores that have other tests to run.
  '--xla_cpu_parallel_codegen_split_count=1',
  # XLA ends a process whose collective has waited for a minute. Where eight
  # devices share few cores, one device may keep the others waiting for longer.
  '--xla_cpu_collective_call_terminate_timeout_seconds=600',
]
if importlib.metadata.version('jaxlib') < '0.12':  # Later ones lack this flag.
  FLAGS.append('--xla_cpu_use_fusion_emitters=false')
os.environ['XLA_FLAGS'] = ' '.join([*FLAGS, os.environ.get('XLA_FLAGS', '')])

import jax  # noqa: E402

jax.config.update('jax_num_cpu_devices', 8)
# [P] * [P, G] is an error, not a broadcast along the wrong axis.
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update(
  'jax_compilation_cache_dir',
  os.environ.get('JAX_COMPILATION_CACHE_DIR')
  or os.path.join(tempfile.gettempdir(), 'adrpo_jax_cache'),
)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)

# Tracing makes millions of small objects. At the usual threshold the search for
# cycles among them takes a twentieth of the time.
gc.set_threshold(100_000, 20, 20)

# The files that take longest, from the longest on. Processes take whole files,
# so one that began late would be waited for.
LONGEST_FIRST = (
  'test_devices.py',
  'test_resume.py',
  'test_hosts.py',
  'test_main.py',
  'test_compilations.py',
  'test_update.py',
  'test_sd3_tiny_parity.py',
)


def pytest_collection_modifyitems(items):
  """Puts the files that take longest first; the others stay in their order."""
  places = {name: place for place, name in enumerate(LONGEST_FIRST)}
  items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_runtest_teardown(item, nextitem):
  """Forgets the programs of files that are done, once they fill 2 GiB.

  Those of a whole run are 6 GB in each process.
  """
  ends = nextitem is None or nextitem.path != item.path
  if ends and resident_bytes() > 2 * 2**30:
    jax.clear_caches()
    gc.collect()


def resident_bytes():
  """The memory of this process, 0 where the system does not say it so."""
  try:
    pages = pathlib.Path('/proc/self/statm').read_text().split()[1]
  except OSError:
    return 0
  return int(pages) * os.sysconf('SC_PAGE_SIZE')
