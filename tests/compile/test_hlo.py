"""Collectives by hand: what XLA compiles here, and a text as of a TPU."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import pytest

from adrpo_jax import sharding
from adrpo_jax.compile import hlo
from adrpo_jax.compile.hlo_module import Loops

TPU = """HloModule jit_f, is_scheduled=true

%gather_start (p: bf16[2,8]) -> bf16[8,8] {
  %p = bf16[2,8]{1,0} parameter(0)
  ROOT %all-gather.1 = bf16[8,8]{1,0:T(8,128)(2,1)S(1)} all-gather(%p), \
channel_id=7, replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_0'}, \
dimensions={0}
}

%gather_done (p: bf16[2,8]) -> bf16[8,8] {
  %p = bf16[2,8]{1,0} parameter(0)
  ROOT %all-gather.2 = bf16[8,8]{1,0} all-gather(%p), channel_id=7, \
replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_0'}, dimensions={0}
}

%async_collective_fusion.2 (p: bf16[2,8]) -> bf16[8,8] {
  %p = bf16[2,8]{1,0} parameter(0)
  ROOT %all-gather.3 = bf16[8,8]{1,0} all-gather(%p), channel_id=7, \
replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_0'}, dimensions={0}
}

%all-reduce-scatter.3 (p: f32[16]) -> f32[2] {
  %p = f32[16]{0} parameter(0)
  %all-reduce.4 = f32[16]{0} all-reduce(%p), channel_id=9, \
replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%sum
  ROOT %slice = f32[2]{0} dynamic-slice(%all-reduce.4, %q)
}

%body (s: (s32[], bf16[2,8])) -> (s32[], bf16[2,8]) {
  %s = (s32[], bf16[2,8]{1,0}) parameter(0)
  %async-collective-start.1 = bf16[8,8]{1,0} fusion(%s), kind=kCustom, \
calls=%gather_start
  %beside = bf16[8,8]{1,0} fusion(%s), kind=kCustom, \
calls=%async_collective_fusion.2
  %async-collective-done.1 = bf16[8,8]{1,0} fusion(%s), kind=kCustom, \
calls=%gather_done
  %move.5 = (f32[4]{0}, f32[4]{0}, u32[]) collective-permute-start(%s), \
channel_id=3, source_target_pairs={{0,1}}
  %moved = f32[4]{0} collective-permute-done(%move.5)
  ROOT %t = (s32[], bf16[2,8]{1,0}) tuple(%s, %s)
}

%condition (s: (s32[], bf16[2,8])) -> pred[] {
  %limit = s32[]{:T(128)} constant(23)
  %s = (s32[], bf16[2,8]{1,0}) parameter(0)
  ROOT %lt = pred[] compare(%s, %limit), direction=LT
}

ENTRY %main (a: bf16[2,8]) -> f32[2] {
  %a = bf16[2,8]{1,0} parameter(0)
  %loop = (s32[], bf16[2,8]{1,0}) while(%a), condition=%condition, body=%body
  ROOT %r = f32[2]{0} fusion(%loop), calls=%all-reduce-scatter.3
}
"""


def test_a_program_of_a_tpu_by_hand():
  found = {c.kind: c for c in hlo.collectives(TPU, 8)}
  assert found == {
    # 8·8 bfloat16 are 128 bytes, of which a chip of four gets three quarters.
    'all-gather': ('all-gather', 4, 96.0, 23, False, (0, 2, 4, 6)),
    'collective-permute': ('collective-permute', 2, 16.0, 23, False, (0, 1)),
    'reduce-scatter': ('reduce-scatter', 8, 56.0, 1, False, tuple(range(8))),
  }


def test_what_goes_to_other_slices_counts_too():
  """Two slices of four: a gather within, a sum of all, a part handed over."""
  send = """
  %send.7 = (bf16[9,8]{1,0:T(8,128)(2,1)}, u32[], token[]) send(%a, %after), \
channel_id=4, is_host_transfer=true, frontend_attributes={\
_xla_host_transfer_handler_name="xla_megascale_runtime",\
_xla_megascale_transfer_type="ALL_REDUCE"}
  ROOT %r"""
  text = TPU[: TPU.index('ENTRY')] + TPU[TPU.index('ENTRY') :].replace(
    '\n  ROOT %r', send
  )
  text = text.replace("4,'axis_1'=2] {'axis_0'}", "2,'axis_1'=4] {'axis_1'}")
  found = {c.kind: c for c in hlo.collectives(text, 8, 2)}
  assert found['all-reduce'] == ('all-reduce', 2, 144.0, 1, True, ())
  assert found['all-gather'].between is False
  assert found['reduce-scatter'].between is True  # Of all eight chips.


def compiled(function, *arguments):
  """The text of a function of arrays of these (shape, sharding)."""
  placed = [
    jax.ShapeDtypeStruct(shape, jnp.float32, sharding=split)
    for shape, split in arguments
  ]
  return jax.jit(function).lower(*placed).compile().as_text()


def test_a_sum_over_all_devices():
  mesh = sharding.make_mesh(8, 1, 1)
  rows = NamedSharding(mesh, PartitionSpec('data'))
  (found,) = hlo.collectives(compiled(lambda x: x.sum(0), ((64, 64), rows)), 8)
  # An all-reduce of 64 float32.
  assert found[:5] == ('all-reduce', 8, 2 * 7 / 8 * 256, 1, False)


def test_a_loop_counts_as_often_as_it_runs():
  mesh = sharding.make_mesh(2, 4, 1)
  split = NamedSharding(mesh, PartitionSpec(None, 'fsdp'))
  whole = NamedSharding(mesh, PartitionSpec())

  def layers(x, stack):
    def layer(x, w):
      gathered = jax.lax.with_sharding_constraint(w, whole)
      return jnp.tanh(x @ gathered), None

    return jax.lax.scan(layer, x, stack)[0]

  text = compiled(layers, ((64, 64), whole), ((5, 64, 64), split))
  found = hlo.collectives(text, 8)
  gathers = [c for c in found if c.kind == 'all-gather']
  assert [(c.group, c.sent, c.times) for c in gathers] == [
    (4, 3 / 4 * 64 * 64 * 4, 5)
  ]


def test_other_text_is_refused():
  with pytest.raises(ValueError, match='found no ENTRY'):
    hlo.collectives('no program', 8)


MOVES = """HloModule jit_f

%fused (p: f32[4,8]) -> f32[4,8] {
  %p = f32[4,8]{1,0} parameter(0)
  ROOT %m = f32[4,8]{1,0} multiply(%p, %p)
}

%body (s: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %s = (s32[], f32[4,8]{1,0}) parameter(0)
  %x = f32[4,8]{1,0} get-tuple-element(%s), index=1
  %y = f32[4,8]{1,0} fusion(%x), kind=kLoop, calls=%fused
  %z = f32[4,8]{1,0:T(8,128)S(1)} fusion(%y), kind=kLoop, calls=%fused
  ROOT %t = (s32[], f32[4,8]{1,0}) tuple(%s, %z)
}

%condition (s: (s32[], f32[4,8])) -> pred[] {
  %limit = s32[] constant(3)
  %s = (s32[], f32[4,8]{1,0}) parameter(0)
  ROOT %lt = pred[] compare(%s, %limit), direction=LT
}

ENTRY %main (a: f32[4,8]) -> f32[1,8] {
  %a = f32[4,8]{1,0} parameter(0)
  %loop = (s32[], f32[4,8]{1,0}) while(%a), condition=%condition, body=%body
  %b = f32[4,8]{1,0} get-tuple-element(%loop), index=1
  ROOT %r = f32[1,8]{1,0} slice(%b), slice={[0:1], [0:8]}
}
"""


def test_bytes_by_hand():
  """Three times x read, y written, y read, z kept on the chip; then a slice.

  The loop's comparison reads its state of 132 bytes and a number, and writes a
  flag, on paper: conditions count as bodies do.
  """
  loop = 3 * (128 + 128 + 128)
  condition = 3 * (132 + 4 + 1)
  assert hlo.bytes_moved(MOVES) == loop + condition + 2 * 32


SLICES = """HloModule jit_f

%fused (p: f32[9,4,8], q: f32[4,8]) -> f32[4,8] {
  %p = f32[9,4,8]{2,1,0} parameter(0)
  %q = f32[4,8]{1,0} parameter(1)
  %s = f32[1,4,8]{2,1,0} dynamic-slice(%p, %i), dynamic_slice_sizes={1,4,8}
  ROOT %m = f32[4,8]{1,0} multiply(%s, %q)
}

%stored (p: f32[9,4,8], q: f32[1,4,8]) -> f32[9,4,8] {
  %p = f32[9,4,8]{2,1,0} parameter(0)
  %q = f32[1,4,8]{2,1,0} parameter(1)
  ROOT %u = f32[9,4,8]{2,1,0} dynamic-update-slice(%p, %q, %i, %j, %k)
}

ENTRY %main (a: f32[9,4,8], b: f32[4,8], c: f32[1,4,8]) -> f32[9,4,8] {
  %a = f32[9,4,8]{2,1,0} parameter(0)
  %b = f32[4,8]{1,0} parameter(1)
  %c = f32[1,4,8]{2,1,0} parameter(2)
  %x = f32[4,8]{1,0} fusion(%a, %b), kind=kLoop, calls=%fused
  ROOT %y = f32[9,4,8]{2,1,0} fusion(%a, %c), kind=kLoop, calls=%stored
}
"""


AHEAD = """HloModule jit_f

ENTRY %main (a: f32[9,4,8]) -> f32[4,8] {
  %a = f32[9,4,8]{2,1,0} parameter(0)
  %s = ((f32[9,4,8]{2,1,0}), f32[1,4,8]{2,1,0:T(8,128)S(1)}, u32[]) \
slice-start(%a), slice={[0:1], [0:4], [0:8]}
  %t = f32[1,4,8]{2,1,0:T(8,128)S(1)} slice-done(%s)
  %c = (f32[9,4,8]{2,1,0:S(1)}, f32[9,4,8]{2,1,0}, u32[]) copy-start(%a)
  %d = f32[9,4,8]{2,1,0:S(1)} copy-done(%c)
  ROOT %x = f32[4,8]{1,0} fusion(%t, %d), kind=kLoop, calls=%fused
}
"""


def test_what_is_fetched_ahead_counts_once():
  """A slice of 128 bytes, a copy of 1152, and 128 that are written."""
  assert hlo.bytes_moved(AHEAD) == 128 + 1152 + 128


def test_of_a_stack_the_layer_counts():
  read = 128 + 128 + 128  # A layer, b, and the result.
  stored = 128 + 128  # c, and the place it goes to.
  assert hlo.bytes_moved(SLICES) == read + stored


NESTED = """HloModule jit_f

%layer (p: f32[9,4,8]) -> f32[4,8] {
  %p = f32[9,4,8]{2,1,0} parameter(0)
  %b = f32[9,32]{1,0} bitcast(%p)
  %s = f32[1,32]{1,0} dynamic-slice(%b, %i), dynamic_slice_sizes={1,32}
  ROOT %r = f32[4,8]{1,0} bitcast(%s)
}

%product (q: f32[4,4], p: f32[9,4,8], t: f32[99,8]) -> f32[4,8] {
  %q = f32[4,4]{1,0} parameter(0)
  %p = f32[9,4,8]{2,1,0} parameter(1)
  %t = f32[99,8]{1,0} parameter(2)
  %w = f32[4,8]{1,0} fusion(%p), kind=kLoop, calls=%layer
  %g = f32[4,8]{1,0} gather(%t, %i), slice_sizes={1,8}
  %c = f32[4,8]{1,0} convolution(%q, %w), dim_labels=bf_io->bf
  ROOT %m = f32[4,8]{1,0} multiply(%c, %g)
}

ENTRY %main (a: f32[4,4], b: f32[9,4,8], c: f32[99,8]) -> f32[4,8] {
  %a = f32[4,4]{1,0} parameter(0)
  %b = f32[9,4,8]{2,1,0} parameter(1)
  %c = f32[99,8]{1,0} parameter(2)
  ROOT %x = f32[4,8]{1,0} fusion(%a, %b, %c), kind=kOutput, calls=%product
}
"""


def test_slices_count_in_fusions_within_fusions_and_gathers():
  """A factor of 64 bytes; a layer, gathered rows, and the result of 128."""
  assert hlo.bytes_moved(NESTED) == 64 + 128 + 128 + 128


EARLY = """HloModule jit_f

%body.1 (s: f32[4,8]) -> f32[4,8] {
  %s = f32[4,8]{1,0} parameter(0)
  %t = f32[4,8]{1,0} conditional(%p, %s, %s), true_computation=%fill, \
false_computation=%stay
  ROOT %y = f32[4,8]{1,0} negate(%s)
}

%fill (s: f32[4,8]) -> f32[4,8] {
  %s = f32[4,8]{1,0} parameter(0)
  ROOT %y = f32[4,8]{1,0} negate(%s)
}

%stay (s: f32[4,8]) -> f32[4,8] {
  ROOT %s = f32[4,8]{1,0} parameter(0)
}

%body.2 (s: f32[4,8]) -> f32[4,8] {
  %s = f32[4,8]{1,0} parameter(0)
  ROOT %y = f32[2,8]{1,0} negate(%s)
}

%more (s: f32[4,8]) -> pred[] {
  ROOT %s = f32[4,8]{1,0} parameter(0)
}

ENTRY %main (a: f32[4,8]) -> f32[4,8] {
  %a = f32[4,8]{1,0} parameter(0)
  %known = f32[4,8]{1,0} while(%a), condition=%more, body=%body.2, \
backend_config={"known_trip_count":{"n":"10"}}
  %one = f32[4,8]{1,0} while(%known), condition=%more, body=%body.1
  ROOT %two = f32[4,8]{1,0} while(%one), condition=%more, body=%body.2
}
"""


def test_loops_that_can_end_early_run_as_often_as_they_are_said_to():
  """Ten known iterations of 192 bytes, five of 256 and two fills, 3 of 192."""
  moved = hlo.bytes_moved(EARLY, Loops((5, 3), branches=2))
  assert moved == 10 * 192 + 5 * 256 + 2 * 256 + 3 * 192
  with pytest.raises(ValueError, match='found 2'):
    hlo.bytes_moved(EARLY, Loops((5,)))


# The layers of a tower, whose loop the TPU compiler does not annotate.
COUNTED = """
%layers (t: (s32[], f32[4,8])) -> pred[] {
  %n = s32[] constant(7)
  %t = (s32[], f32[4,8]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  ROOT %lt = pred[] compare(%i, %n), direction=LT
}
"""


def test_a_loop_that_only_counts_does_not_end_early():
  """Seven iterations of 192 bytes, each after a condition of nine bytes."""
  text = EARLY.replace('condition=%more', 'condition=%layers', 1)
  text = text.replace('backend_config={"known_trip_count":{"n":"10"}}', '')
  text = text.replace('\n\n%body.1', COUNTED + '\n%body.1', 1)
  assert 'known_trip_count' not in text
  moved = hlo.bytes_moved(text, Loops((5, 3), branches=2))
  assert moved == 7 * (192 + 9) + 5 * 256 + 2 * 256 + 3 * 192
  with pytest.raises(ValueError, match='found 3'):
    hlo.bytes_moved(
      text.replace('ROOT %lt = pred[] compare', 'ROOT %lt = pred[] and'),
      Loops((5, 3)),
    )
