#!/usr/bin/env bash
# Compiles SD3-medium for TPUs, without any: the reports in results/tpu/.
#
#   benchmarks/tpu_compile.sh                    all of them, an hour or two
#   benchmarks/tpu_compile.sh lora_512_v5e_2x2   these
#
# Needs the tpu extra. A chip has two prompts of 16 samples at 512², one of 8 at
# 1024². LoRA trains on two noise draws of each sample, full fine-tuning on one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=benchmarks/results/tpu

compile() { # NAME FLAGS...
  local name=$1
  shift
  if [[ ${#wanted[@]} -gt 0 && ! " ${wanted[*]} " == *" $name "* ]]; then
    return
  fi
  echo "== $name"
  python -m adrpo_jax.compile --config=configs/t2i.py:sd3_medium \
    --output="$out/$name.json" "$@" || echo "$name: exit status $?"
}

wanted=("$@")
rows512=(--prompts_per_chip=2)
rows1024=(--prompts_per_chip=1 --config.model.pixels=1024
  --config.prompts.samples=8 --config.training.microbatches=1
  --config.model.decode_parts=8)
full=(--config.model.lora_rank=0 --config.training.draws=1)

compile lora_512_v5e_2x2 "${rows512[@]}" --topology=v5e:2x2
for place in 'v5e_4x4 v5e:4x4 1 16' 'v5p_2x2x2 v5p:2x2x2 1 8' \
  'v5p_4x4x4 v5p:4x4x4 1 16' 'v6e_8x8 v6e:8x8 1 16' \
  'v5e_16x16 v5e:16x16 1 16' '2_v5e_16x16 v5e:16x16 2 16'; do
  read -r name topology slices fsdp <<<"$place"
  where=(--topology="$topology" --num_slices="$slices"
    --config.mesh.fsdp="$fsdp")
  compile "lora_512_$name" "${rows512[@]}" "${where[@]}"
  compile "full_512_$name" "${rows512[@]}" "${full[@]}" "${where[@]}"
  compile "lora_1024_$name" "${rows1024[@]}" "${where[@]}"
  compile "full_1024_$name" "${rows1024[@]}" "${full[@]}" "${where[@]}"
done
