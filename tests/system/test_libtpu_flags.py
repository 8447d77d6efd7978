"""What the TPU compiler is told, and what of it a user keeps."""

from adrpo_jax.system.libtpu_flags import FLAGS, set_flags

NAME = 'xla_jf_spmd_threshold_for_windowed_einsum_mib'


def test_flags_are_added_once_and_those_of_the_user_stay():
  environment = {'LIBTPU_INIT_ARGS': '--xla_of_the_user=true'}
  for _ in range(2):
    set_flags(environment)
    said = environment['LIBTPU_INIT_ARGS'].split()
    assert said == ['--xla_of_the_user=true', f'--{NAME}={FLAGS[NAME]}']


def test_a_flag_that_is_set_is_not_set_again():
  environment = {'LIBTPU_INIT_ARGS': f'--{NAME}=0'}
  set_flags(environment)
  assert environment['LIBTPU_INIT_ARGS'] == f'--{NAME}=0'


def test_nothing_was_set():
  environment = {}
  set_flags(environment)
  assert environment == {'LIBTPU_INIT_ARGS': f'--{NAME}={FLAGS[NAME]}'}
