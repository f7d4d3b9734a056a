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
