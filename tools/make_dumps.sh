#!/usr/bin/env bash
# Makes the small dumps in tests/dumps/ with the PyTorch reference beside this script: networks of two channels, so that
# a file stays small. Needs: pip install torch safetensors numpy.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p tests/dumps

dump() {
    local name=$1
    shift
    python3 tools/ditn_torch.py dump "tests/dumps/$name.safetensors" \
        --width 2 --stem 4 --blocks 1 --modules 1 1 1 --batch 2 "$@"
}

dump ditn_mpii --size 96 64
dump ditn_coco_no_channel_attention --skeleton coco --size 64 64 --no-cab --loss focal-l2-printed --seed 1
dump ditn_lsp_no_spatial_attention --skeleton lsp --size 64 96 --no-sab --loss ohkm --bone-loss mse --seed 2
dump ditn_mpii_no_attention --size 64 64 --no-cab --no-sab --loss mse --bone-weight 0.5 --seed 3
dump ditn_mpii_no_transfer --size 64 64 --no-transfer --loss smooth-l1 --bone-loss focal-l2 --seed 4
dump hrnet_coco --model hrnet --skeleton coco --size 64 64 --loss mse --seed 5

# A ResNet-50 of two channels is ill-conditioned: a ReLU near a tie decides much, and PyTorch's own float32 gradients are
# off by up to 3 %. Another order of summation may flip a ReLU that PyTorch's did not, and the gradients then miss the
# allowance (so with seeds 2 and 4 of 1 to 4 of the second network). The seeds here are among those where none flips.
resnet() {
    local name=$1
    shift
    python3 tools/ditn_torch.py dump "tests/dumps/$name.safetensors" --resnet-stem 2 --size 64 64 --loss mse "$@"
}

resnet resnet_mpii --model resnet --seed 6
resnet ditn_resnet_mpii_no_attention --model ditn-resnet --no-cab --no-sab --batch 4 --seed 3
