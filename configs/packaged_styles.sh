#!/usr/bin/env bash
# The commands that made emojax/checkpoints/styles, with their times on 2 CPU cores (AMD EPYC with AVX2, no GPU).
#
#   configs/packaged_styles.sh PHOTOS PAINTINGS VGG16
#
# PHOTOS: content_s.tar content_rest_1.tar content_rest_2.tar in one folder, 4,710 photos of 288 x 288; PAINTINGS: a folder
# per emotion; VGG16: see python -m emojax.port_vgg16. Today's code gives weights of this quality, not these to the bit: the
# order of the photos has changed since step 1, and steps 1 to 3 had Gram matrices with the border, see emojax.train.losses.
# Step 7 was stopped at step 90 of 600 and went on with 320 steps in all, which bent the curve of its learning rate.
set -euo pipefail

photos=$1 paintings=$2 vgg16=$3
data=(--data.photos "$photos"/content_s.tar "$photos"/content_rest_1.tar "$photos"/content_rest_2.tar
  --data.paintings "$paintings" --vgg16 "$vgg16")
large=("${data[@]}" --data.crop 256)

# 1: from scratch on content_s.tar alone, 128-pixel crops; 47 minutes
python train_style.py emotions --data.photos "$photos"/content_s.tar --data.paintings "$paintings" --vgg16 "$vgg16"
# 2: larger crops of photos that are enlarged up to three times; 53 minutes
python train_style.py refine "${data[@]}" --initial runs/emotions --output runs/styles2
# 3: 15 minutes
python train_style.py refine "${large[@]}" --initial runs/styles2 --output runs/styles3 --steps 300 \
  --optimizer.learning_rate 2e-4
# 4: the border left out of the Gram matrices; 32 minutes
python train_style.py refine "${large[@]}" --initial runs/styles3 --output runs/styles4 --steps 700 \
  --optimizer.learning_rate 4e-4 --loss.style 4 --loss.strengths 1.32 0.77 1.18 1.19 0.81 1.08 0.65 --seed 1
# 5
python train_style.py average --checkpoints runs/styles3 runs/styles4 --output runs/styles5 --force
# 6: 14 minutes
python train_style.py refine "${large[@]}" --initial runs/styles5 --output runs/styles6 --steps 300 \
  --optimizer.learning_rate 2e-4 --loss.style 3.3 --loss.strengths 1.26 0.78 1.19 1.18 0.8 1.12 0.67 --seed 2
# 7: 16 minutes
python train_style.py refine "${large[@]}" --initial runs/styles6 --output runs/styles7 --steps 320 \
  --optimizer.learning_rate 4e-4 --loss.style 3.6 --loss.strengths 1.21 0.8 1.13 1.14 0.83 1.21 0.69 --seed 3
# 8: three parts of step 6 and one of step 7
python train_style.py average --checkpoints runs/styles6 runs/styles6 runs/styles6 runs/styles7 --output runs/styles --force
