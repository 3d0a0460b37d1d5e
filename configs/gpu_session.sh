#!/usr/bin/env bash
# The styles in a quarter of an hour on a GPU that is there for no longer: trains by the clock, and leaves few, small files.
#
#   configs/gpu_session.sh OUT PHOTOS PAINTINGS INITIAL MINUTES [--field value ...]
#
# OUT gets styles.tar (the release, for --styles), rows.tar (the trained rows, for --initial), metrics.jsonl, curves.png, sheet.png
# and log.txt: each below 16 MB. PHOTOS: a .tar file or folder; PAINTINGS: a folder that has them by name; INITIAL: a checkpoint
# to go on from. On two CPU cores:
#
#   configs/gpu_session.sh out photos.tar paintings emojax/checkpoints/styles 2 \
#     --batch_size 2 --data.crop 128 --data.workers 1 --dtype float32
set -euo pipefail

out=$1 photos=$2 paintings=$3 initial=$4 minutes=$5
shift 5
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

collect() { # whatever there is, also after a failure
  local rows
  rows=$(ls -d "$work"/run/step_*[0-9] 2>/dev/null | tail -n 1 || true)
  [ -z "$rows" ] || tar -C "$rows" --exclude=training -cf "$out/rows.tar" .
  [ ! -d "$work/release" ] || tar -C "$work/release" -cf "$out/styles.tar" .
  cp "$work/run/metrics.jsonl" "$work/run/curves.png" "$work/run/scores/sheet.png" "$out/" 2>/dev/null || true
}
trap 'collect; rm -rf "$work"' EXIT

python3 train_style.py gpu --minutes "$minutes" --output "$work/run" --release "$work/release" --initial "$initial" \
  --data.photos "$photos" --data.paintings "$paintings" "$@" 2>&1 | tee "$out/log.txt"
