#!/usr/bin/env bash
# The commands that made emojax/checkpoints/fast, and version 0.1's default. Today's emojax/checkpoints/styles went on from that for
# 2,400 steps; docs/results.md, "Pictures that people keep", has the settings.
#
#   configs/packaged_styles.sh PHOTOS PAINTINGS VGG16
#
# PHOTOS: content_s.tar content_rest_1.tar content_rest_2.tar in one folder, 4,710 photos of 288 x 288; PAINTINGS: a folder
# per emotion; VGG16: see python -m emojax.port_vgg16. Today's code gives weights of this quality, not these to the bit.
#
# Steps 1 and 2 ran for five minutes on one H200, both networks (and a third) side by side, on 1,077 photos of content_s.tar and
# without `emojax.nets.stylizer.even_phases`; step 1 was stopped there (Ctrl-C) after about so many steps. Step 3 ran for 36 minutes on
# 2 CPU cores (AMD EPYC with AVX2), beside other work.
set -euo pipefail

photos=$1 paintings=$2 vgg16=$3
small=("$photos"/content_s.tar)
all=("$photos"/content_s.tar "$photos"/content_rest_1.tar "$photos"/content_rest_2.tar)
common=(--data.paintings "$paintings" --vgg16 "$vgg16")
gpu=(gpu --data.photos "${small[@]}" "${common[@]}" --batch_size 8)
fast=(--model.blocks 3 --model.patch 4)

# 1: from scratch, at a constant learning rate
python train_style.py "${gpu[@]}" --steps 5100 --optimizer.schedule constant --output runs/styles1
python train_style.py "${gpu[@]}" "${fast[@]}" --steps 7250 --optimizer.schedule constant --output runs/fast1
# 2: the learning rate comes down
down=(--optimizer.learning_rate 5e-4 --seed 1)
python train_style.py "${gpu[@]}" --steps 6761 "${down[@]}" --initial runs/styles1 --output runs/styles2
python train_style.py "${gpu[@]}" "${fast[@]}" --steps 8933 "${down[@]}" --initial runs/fast1 --output runs/fast
# 3: the default's, on all photos and with less weight on the style
python train_style.py refine --data.photos "${all[@]}" "${common[@]}" --seed 11 --initial runs/styles2 \
  --output runs/styles
