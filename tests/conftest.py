"""Eight virtual CPU devices and one compile cache for all tests."""

import os
import tempfile

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Where eight devices share few cores, one may keep the others waiting for long;
# XLA ends a process whose collective has waited for a minute.
os.environ['XLA_FLAGS'] = (
  f'{os.environ.get("XLA_FLAGS", "")} '
  '--xla_cpu_collective_call_terminate_timeout_seconds=600'
)

import jax

jax.config.update('jax_num_cpu_devices', 8)
# [P] * [P, G] is an error, not a broadcast along the wrong axis.
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update(
  'jax_compilation_cache_dir',
  os.environ.get('JAX_COMPILATION_CACHE_DIR')
  or os.path.join(tempfile.gettempdir(), 'adrpo_jax_cache'),
)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)
