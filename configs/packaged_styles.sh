#!/usr/bin/env bash
# The commands that made emojax/checkpoints/styles and emojax/checkpoints/fast.
#
#   configs/packaged_styles.sh PHOTOS PAINTINGS INITIAL
#
# PHOTOS: content_mix.tar, 1,671 photos; PAINTINGS: a folder of the paintings, by name; INITIAL: weights of the same network to go
# on from. The styles took five and a quarter minutes of one NVIDIA H200, 9,756 steps of 16 photos, compiling included. They
# went on from two runs of 90 s each, with other loss weights and 40 rows, which chose the paintings (docs/results.md), and these
# from version 0.1's default. `fast` took 4,800 steps of 8 photos, an hour of two busy CPU cores (AMD EPYC with AVX2). Today's
# code gives weights of this quality, not these to the bit.
set -euo pipefail

photos=$1 paintings=$2 initial=$3
common=(--data.photos "$photos" --data.faces faces.json)
python train_style.py gpu --minutes 5.75 --initial "$initial" --data.paintings "$paintings" "${common[@]}" --release release/styles
python train_style.py fast --teacher release/styles "${common[@]}" --steps 4800 --data.workers 1 --release release/fast
