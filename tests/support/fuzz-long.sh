#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs libFuzzer or AFL++ on a fuzz target; docs/contributing.md says where. What is found stays in build/fuzz.
#
#   fuzz-long.sh libfuzzer|afl nss|subid SECONDS
set -eu

fuzzer=${1:?usage: fuzz-long.sh libfuzzer|afl nss|subid SECONDS} target=$2 seconds=$3
top=$(cd "$(dirname "$0")/../.." && pwd)
found=$top/build/fuzz/$fuzzer-$target
# The target writes files for each input: where that costs least.
work=$(mktemp -d /dev/shm/fuzz.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir -p "$found" "$work/index" "$work/local/accounts" "$work/corpus"
(cd "$top" && python3 -m "tests.$target.corpus" "$work/corpus")
cd "$work"
cat >where.h <<'H'
#define DATADIR "."
#define INDEXDIR "./index"
#define LOCALDIR "./local"
H
case $target in
nss) set -- "$top"/nss/*.c ;;
subid) set -- "$top"/subid/*.c ;;
esac
set -- -O1 -g -std=gnu11 -D_GNU_SOURCE -include where.h -DFIRST_READ=8 -DFIRST_LOOK=0 -DTICK=0 -pthread \
    -I"$top/common" -o fuzz "$top/tests/$target/fuzz.c" "$@" "$top"/common/*.c
case $fuzzer in
libfuzzer)
    clang -DLIBFUZZER -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all "$@"
    ./fuzz -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$found/" corpus
    ;;
afl)
    AFL_USE_ASAN=1 AFL_USE_UBSAN=1 AFL_QUIET=1 afl-clang-fast "$@"
    status=0
    AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_SKIP_CPUFREQ=1 AFL_NO_UI=1 \
        afl-fuzz -i corpus -o out -V "$seconds" -m none -- ./fuzz - >afl.log || status=$?
    grep -E 'execs_done|execs_per_sec|edges_found|corpus_count|saved_crashes|saved_hangs' out/default/fuzzer_stats
    cp -r out/default/crashes out/default/hangs "$found/"
    [ "$status" = 0 ] && [ -z "$(find "$found/crashes" -name 'id:*')" ]
    ;;
esac
