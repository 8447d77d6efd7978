#!/usr/bin/env bash
# Makes the tables and plots of SD3 in docs/scaling.md from the reports in
# results/tpu/, which benchmarks/tpu_compile.sh compiles: results/scaling/.
#
#   benchmarks/scaling_study.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
reports=benchmarks/results/tpu

study() { # NAME REPORTS...
  local name=$1
  shift
  local files=("${@/#/$reports/}")
  local joined
  joined=$(IFS=,; echo "${files[*]/%/.json}")
  python -m adrpo_jax.scaling --reports="$joined" \
    --output="benchmarks/results/scaling/$name"
}

study sd3_lora lora_512_v5e_4x4 lora_512_v5e_8x8 lora_512_v5e_16x16 \
  lora_512_2_v5e_16x16
study sd3_full full_512_v5e_4x4 full_512_v5e_8x8 full_512_v5e_16x16 \
  full_512_2_v5e_16x16
