"""The only reader of configs: plain values in, the functions of a run out."""

from adrpo_jax.builders.checks import check_decoding as check_decoding
from adrpo_jax.builders.checks import profiled_steps as profiled_steps
from adrpo_jax.builders.config_checks import check_config as check_config
from adrpo_jax.builders.families import family_of as family_of
from adrpo_jax.builders.meshes import make_mesh as make_mesh
from adrpo_jax.builders.methods import make_method as make_method
from adrpo_jax.builders.model_flops import step_flops as step_flops
from adrpo_jax.builders.parts import make_optimizer as make_optimizer
from adrpo_jax.builders.precision import with_products as with_products
from adrpo_jax.builders.run import Run as Run
from adrpo_jax.builders.run import build as build
from adrpo_jax.builders.scoring import judge_images as judge_images
