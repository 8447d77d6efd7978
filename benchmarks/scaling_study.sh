#!/usr/bin/env bash
# Makes the tables and plots of docs/scaling.md from the reports in results/tpu/,
# which benchmarks/tpu_compile.sh compiles: results/scaling/.
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
study qwen qwen3_0p6b_v5e_2x2 qwen2p5_7b_v5p_4x4x4 qwen2p5_7b_v5e_16x16
