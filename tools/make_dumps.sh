#!/usr/bin/env bash
# Makes the small dumps in tests/dumps/, or in another folder, with the PyTorch references beside this script: networks of
# few channels, so that a file stays small. Needs: pip install torch safetensors numpy.
#
#     tools/make_dumps.sh [FOLDER [OPTION...]]
#
# Options go to every dump of the paper's own networks: with `--mistake eps` (or momentum, padding, focal) `ditn verify` must
# refuse those that the mistake reaches. Those of the systems that the paper compares with, by zoo_dump.py, have the options of
# the environment variable ZOO: ZOO="--mistake stack" (or corners, half-pixel). The seeds count from 0. None was chosen for its
# result: the noise in a dump is the largest over several orders of summation, so that a ReLU within rounding of zero does not
# decide whether a correct network passes.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$tools/../tests/dumps}
shift $(($# > 0))
options=("$@")
mkdir -p "$folder"

dump() {
    local name=$1
    shift
    python3 "$tools/ditn_torch.py" dump "$folder/$name.safetensors" "$@" "${options[@]}"
}

small() {
    dump "$@" --width 2 --stem 4 --blocks 1 --modules 1 1 1 --batch 2
}

small ditn_mpii --size 96 64 --seed 0
small ditn_coco_no_channel_attention --skeleton coco --size 64 64 --no-cab --loss focal-l2-printed --seed 1
small ditn_lsp_no_spatial_attention --skeleton lsp --size 64 96 --no-sab --loss ohkm --bone-loss mse --seed 2
small ditn_mpii_no_attention --size 64 64 --no-cab --no-sab --loss mse --bone-weight 0.5 --seed 3
small ditn_mpii_no_transfer --size 64 64 --no-transfer --loss smooth-l1 --bone-loss focal-l2 --seed 4
small hrnet_coco --model hrnet --skeleton coco --size 64 64 --loss mse --seed 5

# A ResNet-50 of two channels is ill-conditioned: PyTorch's own float32 gradients are off by up to some percent.
resnet() {
    dump "$@" --resnet-stem 2 --size 64 64 --loss mse
}

resnet resnet_mpii --model resnet --seed 6
resnet ditn_resnet_mpii_no_attention --model ditn-resnet --no-cab --no-sab --batch 4 --seed 7

# Two processes of two pictures each, normalised by the statistics of all four: DistributedDataParallel with SyncBatchNorm.
python3 "$tools/ddp_dump.py" "$folder/ditn_mpii_two_processes.safetensors" --ranks 2 --batch 2 \
    --width 2 --stem 4 --blocks 1 --modules 1 1 1 --size 64 64 --seed 8 "${options[@]}"

# The systems that the paper compares with.
zoo() {
    local name=$1
    shift
    # shellcheck disable=SC2086
    python3 "$tools/zoo_dump.py" dump "$folder/$name.safetensors" "$@" --size 64 64 ${ZOO:-}
}

zoo hourglass_mpii --model hourglass --stacks 2 --levels 2 --channels 8 --stem 4 --paper-stem --seed 9
zoo cpn_coco --model cpn --layers 1 1 1 1 --stem 2 --channels 8 --seed 10
zoo rsn_coco --model rsn --layers 1 1 1 1 --stem 4 --expand 2 --channels 4 --stacks 2 --seed 11
zoo ipr_coco --model ipr --layers 1 1 1 1 --stem 2 --seed 12
zoo ipr_lsp_with_maps --model ipr --layers 1 1 1 1 --stem 2 --skeleton lsp --map-weight 0.5 --seed 13
