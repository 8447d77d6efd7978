#!/usr/bin/env bash
# Compiles SD3-medium, Qwen and Qwen2.5-Omni for TPUs, without any: the reports in
# results/tpu/.
#
#   benchmarks/tpu_compile.sh                    all: 10 to 17 minutes of a core each
#   benchmarks/tpu_compile.sh lora_512_v5e_2x2   these
#
# Needs the tpu extra. The chips that share weights are chosen, by mesh.fsdp=0, but
# for Qwen 7B and Omni. Of SD3 a chip has two prompts a step, each a microbatch: of
# 8 samples at 512², 4 at 1024², and the preset's 16 on v5e:2x2; one chip, v5e:1x1,
# has the 8 prompts of its own preset. Of Qwen a chip has 8 answers to each of 4
# prompts, and of the 7B model, whose layers four chips share, four chips have. A
# prompt of Omni is 30 s of sound with its question, 896 tokens at most, and has 8
# answers of 128; its name says `repeated` where an update reads the prompt once for
# each of them. `uneven` is a rollout whose completions have 256 ± 200 tokens, all of
# them at once or in turns.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=benchmarks/results/tpu

compile() { # NAME CONFIG FLAGS...
  local name=$1 config=$2
  shift 2
  if [[ ${#wanted[@]} -gt 0 && ! " ${wanted[*]} " == *" $name "* ]]; then
    return
  fi
  echo "== $name"
  python -m adrpo_jax.compile --config="configs/$config" \
    --output="$out/$name.json" "$@" || echo "$name: exit status $?"
}

wanted=("$@")
lora512=(t2i.py:sd3_medium --prompts_per_chip=2 --config.prompts.group_size=8)
full512=("${lora512[@]}" --config.model.lora_rank=0)
lora1024=(t2i.py:sd3_medium --prompts_per_chip=2 --config.prompts.group_size=4
  --config.model.resolution=1024 --config.compute.decode_chunks=8)
full1024=("${lora1024[@]}" --config.model.lora_rank=0)

compile lora_512_v5e_1x1 t2i.py:sd3_medium_colab --topology=v5e:1x1
for place in 'v5e_4x4 v5e:4x4 1' 'v5e_8x8 v5e:8x8 1' 'v5e_16x16 v5e:16x16 1' \
  '2_v5e_16x16 v5e:16x16 2' 'v5p_4x4x4 v5p:4x4x4 1'; do
  read -r name topology slices <<<"$place"
  where=(--topology="$topology" --num_slices="$slices")
  compile "lora_512_$name" "${lora512[@]}" "${where[@]}"
  compile "full_512_$name" "${full512[@]}" "${where[@]}"
done
# Decoding, rewards and evaluation take half of the time to compile, and are the
# smaller programs.
two=('--programs=rollout,update')
compile lora_512_v5e_2x2 t2i.py:sd3_medium --prompts_per_chip=2 \
  --topology=v5e:2x2 "${two[@]}"
compile lora_512_v6e_8x8 "${lora512[@]}" --topology=v6e:8x8 "${two[@]}"
compile full_512_v6e_8x8 "${full512[@]}" --topology=v6e:8x8 "${two[@]}"
compile lora_1024_v5e_4x4 "${lora1024[@]}" --topology=v5e:4x4 "${two[@]}"
compile full_1024_v5e_4x4 "${full1024[@]}" --topology=v5e:4x4 "${two[@]}"
compile full_1024_v5p_4x4x4 "${full1024[@]}" --topology=v5p:4x4x4 "${two[@]}"

compile qwen3_0p6b_v5e_2x2 llm.py:qwen3_0p6b --prompts_per_chip=4 \
  --topology=v5e:2x2
compile qwen2p5_7b_v5p_4x4x4 llm.py:qwen2p5_7b --prompts_per_chip=4 \
  --topology=v5p:4x4x4
compile qwen2p5_7b_v5e_16x16 llm.py:qwen2p5_7b --prompts_per_chip=4 \
  --topology=v5e:16x16 "${two[@]}"

uneven() { # NAME CONFIG TOPOLOGY PROMPTS_PER_CHIP SEQUENCES
  local flags=("$2" --topology="$3" --prompts_per_chip="$4" --programs=rollout
    --config.compute.reward_chunks=1 --completion_lengths=256:200)
  compile "$1_uneven" "${flags[@]}"
  compile "$1_uneven_turns" "${flags[@]}" --config.sampler.max_num_seqs="$5"
}
uneven qwen3_0p6b_v5e_2x2 llm.py:qwen3_0p6b v5e:2x2 8 128
uneven qwen2p5_7b_v5p_4x4x4 llm.py:qwen2p5_7b v5p:4x4x4 4 256

omni() { # NAME TOPOLOGY FSDP TENSOR LORA_RANK SHARED_PREFIX
  compile "omni_7b_$1" audio.py:qwen2p5_omni_7b --prompts_per_chip=4 \
    --config.prompts.max_prompt_length=896 \
    --config.sampler.max_completion_length=128 \
    --config.compute.shared_prefix="$6" --topology="$2" \
    --config.model.lora_rank="$5" --config.mesh.fsdp="$3" \
    --config.mesh.tensor="$4" "${two[@]}"
}
omni lora_v5e_2x2_repeated v5e:2x2 1 4 16 False
omni lora_v5e_2x2 v5e:2x2 1 4 16 True
omni lora_v6e_2x2 v6e:2x2 1 4 16 True
omni full_v5p_2x2x2 v5p:2x2x2 8 1 0 True
omni full_v5e_4x8 v5e:4x8 8 4 0 True
