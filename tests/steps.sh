# The steps of tests/run.sh, which runs each in a shell of its own with 'source', 'build' and 'jobs'
# in the environment. A step prints what it finds and returns 0 when it passed; it may end with
# "N passed, N failed, N skipped".
# shellcheck shell=sh disable=SC2154

# cmake reads it when it configures.
if command -v ccache >/dev/null; then export CMAKE_C_COMPILER_LAUNCHER=ccache; fi

# With the headers of the runtimes that there are adapters to, before the build; where they cannot be had, the
# adapters are not built, and their steps say so.
install_packages() {
    sh "$source/ci/install.sh" --tests || return 1
    for adapter in onnxruntime tflite; do
        sh "$source/ci/$adapter.sh" "$build/$adapter" || echo "no adapter to $adapter"
    done
}

configure() { # configure DIRECTORY OPTIONS...
    to=$1
    shift
    cmake -S "$source" -B "$to" "$@"
}

# Without a warning: what a compiler doubts is not passed.
build_all() {
    configure "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr || return 1
    cmake --build "$build" -j "$jobs" >"$build/build.out" 2>&1
    status=$?
    cat "$build/build.out"
    [ $status -eq 0 ] && ! grep -q ' warning: ' "$build/build.out"
}

inner_loops() {
    sh "$source/tests/inner_loops.sh" "$build"
}

counted() {
    sh "$source/tests/counted.sh" "$build"
}

# Only the documented functions are exported, and all of them are; and they are those of ci/debian/symbols,
# which says since when: a new one is added there, one that goes or changes takes a new SONAME.
symbols() {
    nm -D --defined-only "$build/libqdot.so" | awk '{ print $3 }' | LC_ALL=C sort >"$build/exported"
    sed -n 's/^ \(.*\)@Base .*/\1/p' "$source/ci/debian/symbols" | diff - "$build/exported" || return 1
    soname=$(objdump -p "$build/libqdot.so" | awk '$1 == "SONAME" { print $2 }')
    if [ "$soname" != "$(sed -n '1s/ .*//p' "$source/ci/debian/symbols")" ]; then
        echo "the SONAME is $soname, not that of ci/debian/symbols"
        return 1
    fi
    sed -n 's/^QDOT_API.*[ *]\(qdot_[a-z_]*\)(.*/\1/p' "$source"/include/*.h | LC_ALL=C sort -u \
        >"$build/documented"
    [ -s "$build/documented" ] && diff "$build/documented" "$build/exported"
}

selfcheck() {
    sh "$source/tests/selfcheck.sh" "$build/qdot"
}

reports() {
    sh "$source/tests/reports.sh" "$build/qdot"
}

# TAP from every API test of a build: api_in BUILD DEVICE
api_in() {
    tap=$1/tap.${2%:*} # other devices are beside
    : >"$tap"
    failed=0
    for name in api_rules api_bytes api_conv api_conv_memory api_elements api_memory api_packed api_threads api_event \
        api_select api_tuning api_weights "interop_$2" "interop_$2_queue"; do
        case $name in interop_*) [ -x "$1/$name" ] || continue ;; esac
        QDOT_TEST_DEVICE=$2 CMOCKA_MESSAGE_OUTPUT=TAP "$1/$name" >"$tap.one" 2>&1
        status=$?
        cat "$tap.one"
        cat "$tap.one" >>"$tap"
        if [ "$status" -ne 0 ] && ! grep -q '^not ok [^#]*$' "$tap.one"; then
            echo "not ok - $name left with exit status $status"
            failed=$((failed + 1))
        fi
    done
    if [ -x "$1/header_cpp" ] && [ "$1" = "$build" ]; then # made without sanitizers
        if "$1/header_cpp"; then echo 'ok - header_cpp'; else echo 'not ok - header_cpp'; fi >>"$tap"
    fi
    skipped=$(grep -c '^not ok.*# SKIP' "$tap")
    failed=$((failed + $(grep -c '^not ok' "$tap") - skipped))
    echo "$(grep -c '^ok' "$tap") passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}

api() {
    api_in "$build" "$1"
}

# The last row of a backend's table of each sort, which needs nothing of the device.
last_rows() {
    "$build/qdot" conform --list | awk -v b="$1" '
        $1 == "row" { for (i = 1; i <= n; i++) if (index($3 "_", b "/" sort[i] "_") == 1) last[i] = $3 }
        BEGIN { n = split("gemm conv depthwise quantize map max_pool average_pool", sort) }
        END { for (i = 1; i <= n; i++)
                  printf("%s%s", (i > 1 ? "," : ""), (last[i] ? last[i] : b "/" sort[i] "*")) }'
}

# The rows that this processor must be able to run, by what the kernel says of it.
cpu_rows() {
    flags=$(sed -n '/^flags/{p;q}' /proc/cpuinfo)
    rows=$(last_rows cpu)
    case " $flags " in *" avx2 "*) rows="$rows,cpu/*_avx2" ;; esac
    case " $flags " in *" avx_vnni "*) rows="$rows,cpu/*_avxvnni" ;; esac
    case " $flags " in *" avx512_vnni "*) rows="$rows,cpu/*_avx512vnni,cpu/*_avx512" ;; esac
    case " $flags " in *" avx512vbmi "*) rows="$rows,cpu/*_avx512vbmi" ;; esac
    echo "$rows"
}

conform_cpu() {
    "$build/qdot" conform --device cpu --require "$(cpu_rows),reference/*" \
        --json "$build/cpu.json" --junit "$build/cpu.xml"
}

conform_opencl() {
    "$build/qdot" conform --device opencl --known "$source/tests/known.txt" --require "$(last_rows opencl),opencl/*clblast,reference/*" \
        --json "$build/opencl.json" --junit "$build/opencl.xml"
}

# Rows for instructions that no device here has, with those emulated: all but the instruction. Each
# instruction in one row, and each tile with one of them: what else there is are the same texts.
emulate() {
    to=$build-emulate
    rows='opencl/gemv_4x16k4_*,opencl/*_dp4a,opencl/*_mma,opencl/gemm_*_wmma,opencl/gemm_*_mfma,opencl/gemm_*_dpas8'
    configure "$to" -DCMAKE_BUILD_TYPE=Release -DQDOT_EMULATE=ON -DQDOT_VULKAN=OFF &&
        cmake --build "$to" -j "$jobs" --target qdot_command || return 1
    "$to/qdot" conform --device opencl:0 --kernel "$rows" --small --cases 3 \
        --group edge --require "$rows"
}

codegen() {
    sh "$source/ci/codegen.sh" "$build" opencl
}

# All but those for cooperative matrices, which only some devices have.
vulkan_rows='vulkan/*dot,vulkan/*_float,vulkan/*k4,vulkan/depthwise_*'

conform_vulkan() {
    "$build/qdot" conform --device vulkan --cases 80 --known "$source/tests/known.txt" --require "$vulkan_rows" \
        --json "$build/vulkan.json" --junit "$build/vulkan.xml"
}

# With Debian 13's compiler, here or under $QDOT_TRIXIE, byte by byte; else only that sources are those.
coop_spirv() {
    sh "$source/ci/coop_spirv.sh"
}

codegen_vulkan() {
    sh "$source/ci/codegen.sh" "$build" vulkan
}

# qdot gemm and qdot conv on files, against NumPy, on every device. Debian's Python: another may lack NumPy.
gemm_numpy() {
    /usr/bin/python3 "$source/tests/gemm_numpy.py" "$build/qdot" --cases 60
}

conv_numpy() {
    /usr/bin/python3 "$source/tests/conv_numpy.py" "$build/qdot" --cases 60
}

quantize_numpy() {
    /usr/bin/python3 "$source/tests/quantize_numpy.py" "$build/qdot" --cases 60
}

# Roundings against those who define them; XNNPACK's for ARM where a Debian mirror can be reached.
oracles() {
    arm64=$build/arm64
    [ -e "$arm64/usr/lib/aarch64-linux-gnu/libXNNPACK.so.0" ] || sh "$source/ci/arm64.sh" "$arm64" || arm64=/
    sh "$source/tests/oracles.sh" "$build" "$arm64"
}

# The adapters, in the runtimes that PyPI has.
onnxruntime() {
    sh "$source/tests/ort/run.sh" "$build"
}

tflite() {
    sh "$source/tests/tflite/run.sh" "$build"
}

# Address and undefined-behaviour sanitizers over the library and the tests, on the CPU.
sanitize() {
    to=$build-asan
    configure "$to" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DQDOT_SANITIZE=address,undefined \
        -DQDOT_OPENCL=OFF -DQDOT_VULKAN=OFF && cmake --build "$to" -j "$jobs" || return 1
    export UBSAN_OPTIONS=print_stacktrace=1
    # The memory tests ask for allocations that must fail.
    ASAN_OPTIONS=allocator_may_return_null=1 api_in "$to" cpu || return 1
    # PoCL, under the reference, leaks what it keeps until the process ends.
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 "$to/qdot" conform --device cpu --cases 40 \
        --require "$(cpu_rows)" --timeout 120
}

# The thread sanitizer sees into threads that this program starts, not into the pool of a library.
thread_sanitizer() {
    to=$build-tsan
    configure "$to" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DQDOT_SANITIZE=thread \
        -DQDOT_OPENCL=OFF &&
        cmake --build "$to" -j "$jobs" || return 1
    export TSAN_OPTIONS=halt_on_error=1
    # The threads of these tests are their own; devices get one each, so that they start no pool.
    export QDOT_TEST_THREADS=1
    if [ -x "$to/interop_vulkan" ]; then # whose driver is not built for it
        TSAN_OPTIONS=$TSAN_OPTIONS:ignore_noninstrumented_modules=1
        QDOT_TEST_DEVICE=vulkan:0 "$to/api_event" && "$to/interop_vulkan" || return 1
        TSAN_OPTIONS=halt_on_error=1
    fi
    "$to/api_threads" && "$to/api_event" && "$to/qdot" conform --device cpu --tasks --threads 3 --cases 6 \
        --kernel 'cpu/*' --group threads,runs,one_shot,buffers,blocks --require "$(cpu_rows)" \
        --timeout 120 &&
        "$to/qdot" conform --device cpu --tasks --kernel device/concurrency --require device/concurrency
}

small_device() {
    sh "$source/tests/small_device.sh" "$build"
}

# Races between work-items and accesses out of bounds. oclgrind leaves with 0 whatever it finds.
oclgrind_races() {
    oclgrind --data-races "$build/qdot" conform --device opencl --small --cases 6 --timeout 200 \
        --kernel 'opencl/*,device/dot,device/integer,device/saturate,device/float,device/load' \
        --require "$(last_rows opencl),reference/*" >"$build/oclgrind.out" 2>"$build/oclgrind.err"
    status=$?
    cat "$build/oclgrind.out"
    [ -s "$build/oclgrind.err" ] || return $status
    echo "oclgrind found:"
    head -n 40 "$build/oclgrind.err"
    return 1
}

few() { # a short run of a few rows; only what is not a pass is printed
    "$build/qdot" conform --cases 2 --group edge,output --timeout 120 --kernel '*_8x16k4' \
        --require 'opencl/*_8x16k4,vulkan/*_8x16k4' >"$build/few.$1" 2>&1
    status=$?
    grep -v -E '^pass|passed,|not_run|refused' "$build/few.$1"
    if [ $status -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# Files in the cache are only a help: two processes that fill it at once, files cut short, altered or
# of garbage, and a cache that cannot be written change no result.
cache() {
    export XDG_CACHE_HOME="$build/cache-test"
    passed=0 failed=0
    rm -rf "$XDG_CACHE_HOME"
    mkdir -p "$XDG_CACHE_HOME"
    (few other; [ "$failed" -eq 0 ]) &
    other=$!
    few one
    if wait $other; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    files=$(find "$XDG_CACHE_HOME/qdot" -type f | wc -l)
    echo "$files files in the cache"
    [ "$files" -gt 0 ] || failed=$((failed + 1))
    for damage in 'head -c 40' 'head -c 0' 'tail -c +2' 'tr a-y b-z' 'cat - /etc/passwd'; do
        echo "each of them through $damage:"
        find "$XDG_CACHE_HOME/qdot" -type f | while read -r file; do
            $damage <"$file" >"$build/damaged" && cat "$build/damaged" >"$file"
        done
        few one
    done
    echo "a file where the directory should be:"
    rm -rf "$XDG_CACHE_HOME"
    echo >"$XDG_CACHE_HOME"
    few one
    rm -f "$XDG_CACHE_HOME"
    echo "$passed passed, $failed failed, 0 skipped"
    [ "$failed" -eq 0 ]
}

validate() { # a command under the validation layer
    VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation \
        VK_LAYER_ENABLES="VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT${more_validation:-}" \
        VK_LAYER_SYNCVAL_SHADER_ACCESSES_HEURISTIC=1 "$@"
}

# Also from one command buffer to the next.
validate_queues() {
    more_validation=:VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT validate "$@"
}

layer_is_silent() { # layer_is_silent LOG
    grep -q -E 'Validation|SYNC-HAZARD|UNASSIGNED|VUID' "$1" || return 0
    echo "the layer found:"
    head -n 40 "$1"
    return 1
}

# Silence of the layer means something only while it reports two planted hazards.
validation() {
    validate "$build/vk_hazard" >"$build/hazard" 2>&1 || { cat "$build/hazard"; return 1; }
    reported=$(grep -c '^SYNC-HAZARD-READ-AFTER-WRITE' "$build/hazard")
    if [ "$reported" -lt 2 ]; then
        echo "the layer reports $reported of the 2 planted hazards"
        cat "$build/hazard"
        return 1
    fi
    validate "$build/vk_hazard" fixed >"$build/hazard" 2>&1 || return 1
    if grep -q -E 'Validation|SYNC-HAZARD' "$build/hazard"; then
        echo "the layer reports a hazard where there is none"
        cat "$build/hazard"
        return 1
    fi
    validate "$build/qdot" conform --device vulkan --cases 10 --require "$vulkan_rows" --timeout 200 \
        >"$build/validation.out" 2>"$build/validation.err"
    status=$?
    cat "$build/validation.out"
    layer_is_silent "$build/validation.err" && [ $status -eq 0 ] || return 1
    # Runs on their way together, and a host runtime's commands around them.
    for name in api_event api_bytes api_elements interop_vulkan; do
        [ -x "$build/$name" ] || continue
        if ! QDOT_TEST_DEVICE=vulkan:0 validate_queues "$build/$name" >"$build/validation.$name" 2>&1; then
            tail -n 20 "$build/validation.$name"
            return 1
        fi
        layer_is_silent "$build/validation.$name" || return 1
    done
}

# An installed qdot, used from outside by pkg-config and by CMake.
consumer() {
    prefix=$build/prefix
    rm -rf "$prefix" "$build/consumer" "$build/consumer-cmake"
    cmake --install "$build" --prefix "$prefix" || return 1
    libs=$(dirname "$(find "$prefix" -name qdot.pc | head -n 1)")
    flags=$(PKG_CONFIG_PATH=$libs pkg-config --cflags --libs qdot) || return 1
    # shellcheck disable=SC2086 # words
    cc -std=c99 -Wall -Wextra -Werror "$source/tests/consumer/main.c" -o "$build/consumer" $flags &&
        LD_LIBRARY_PATH=$(dirname "$libs") "$build/consumer" || return 1
    cmake -S "$source/tests/consumer" -B "$build/consumer-cmake" -DCMAKE_PREFIX_PATH="$prefix" &&
        cmake --build "$build/consumer-cmake" && "$build/consumer-cmake/consumer" || return 1
    # The README's example is what it says it is.
    awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$source/README.md" >"$build/example.c"
    # shellcheck disable=SC2086
    cc -std=c99 -Wall -Wextra -Werror "$build/example.c" -o "$build/example" $flags &&
        LD_LIBRARY_PATH=$(dirname "$libs") "$build/example" | grep ': 14 -14 32 -32$' || return 1
    # As are those of docs/interop.md: a program, and functions of one.
    awk -v to="$build/interop_example" '/^```c$/ { on = ++n; next } /^```$/ { on = 0 }
        on { print > (to on ".c") }' "$source/docs/interop.md"
    if [ -f "$prefix/include/qdot_opencl.h" ]; then
        # shellcheck disable=SC2086
        cc -std=c99 -Wall -Wextra -Werror "$build/interop_example1.c" -o "$build/interop_example" \
            $flags -lOpenCL || return 1
        LD_LIBRARY_PATH=$(dirname "$libs") "$build/interop_example" >"$build/interop_example.out"
        status=$?
        cat "$build/interop_example.out"
        [ $status -eq 77 ] || grep ': 14 -14 32 -32$' "$build/interop_example.out" || return 1
    fi
    if [ -f "$prefix/include/qdot_vulkan.h" ]; then
        # shellcheck disable=SC2086
        cc -std=c99 -Wall -Wextra -Werror -c "$build/interop_example2.c" -o "$build/interop_example2.o" \
            $flags || return 1
    fi
    # And so is the runtime of docs/runtime.md, in the lines that it says.
    awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$source/docs/runtime.md" >"$build/runtime.c"
    [ "$(wc -l <"$build/runtime.c")" -le 100 ] || { echo "docs/runtime.md: more than 100 lines"; return 1; }
    # shellcheck disable=SC2086
    cc -std=c11 -pthread -Wall -Wextra -Werror "$build/runtime.c" -o "$build/runtime" $flags || return 1
    LD_LIBRARY_PATH=$(dirname "$libs") "$build/runtime" cpu >"$build/runtime.out" || return 1
    cat "$build/runtime.out"
    [ "$(grep -c ': 7744$' "$build/runtime.out")" = 2 ] &&
        grep -q '^2 packed weights, 2 times shared$' "$build/runtime.out" || return 1
    if [ -x "$prefix/bin/qdot" ]; then # the installed command finds the installed library
        "$prefix/bin/qdot" conform --list || return 1
    fi
    echo "4 passed, 0 failed, 0 skipped"
}

# The packages that cpack makes, and what is in them; ci/packages.sh installs and uses them.
packages() {
    rm -rf "$build/packages"
    (cd "$build" && cpack -B "$build/packages") || return 1
    (cd "$build/packages" && for deb in *.deb; do dpkg-deb -c "$deb" | awk -v deb="${deb%%_*}" '
        $NF !~ "/$" { sub("^[.]", "", $6); print deb, $6 }'; done) >"$build/packages/files"
    cat "$build/packages/files"
    libs=/usr/$(sed -n 's/^CMAKE_INSTALL_LIBDIR:[^=]*=//p' "$build/CMakeCache.txt")
    while read -r package file; do
        grep -qxF "$package $file" "$build/packages/files" || { echo "no $file in $package"; return 1; }
    done <<END
libqdot0.2 $libs/libqdot.so.0.2
libqdot0.2 /usr/share/doc/libqdot0.2/copyright
libqdot-dev $libs/libqdot.so
libqdot-dev $libs/pkgconfig/qdot.pc
libqdot-dev $libs/cmake/qdot/qdotConfig.cmake
libqdot-dev /usr/include/qdot.h
libqdot-dev /usr/include/qdot_opencl.h
libqdot-dev /usr/include/qdot_vulkan.h
qdot /usr/bin/qdot
qdot /usr/share/man/man1/qdot.1.gz
qdot /usr/share/doc/qdot/changelog.Debian.gz
END
    dpkg-deb -f "$build"/packages/qdot_*.deb Depends | grep -q 'libqdot0.2 (= .*libcjson1' || return 1
    command -v lintian >/dev/null || return 0
    (cd "$build/packages" && lintian --allow-root --fail-on error,warning ./*.deb)
}

# Driver calls that fail, hang, lie and answer wrongly. QDOT_FAULTS=--every: each call, for minutes.
driver_faults() {
    sh "$source/tests/faults.sh" "$build"
}

# The newest clang that has libFuzzer.
find_fuzzer() {
    for compiler in clang clang-19 clang-15; do
        echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }' |
            "$compiler" -x c - -fsanitize=fuzzer,address -o "$build/fuzzer" 2>"$build/fuzzer.err" &&
            return 0
    done
    return 1
}

# QDOT_FUZZ_SECONDS for each target.
fuzz() {
    find_fuzzer || {
        echo "skip: no clang with libFuzzer"
        echo "0 passed, 0 failed, 1 skipped"
        return 0
    }
    to=$build-fuzz passed=0 failed=0
    targets="op elements bytes packed npy cache cli conform"
    # shellcheck disable=SC2046,SC2086 # words
    CC=$compiler configure "$to" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DQDOT_SANITIZE=address,undefined \
        -DQDOT_FUZZ=ON -DQDOT_OPENCL=OFF -DQDOT_VULKAN=OFF -DQDOT_TESTS=OFF &&
        cmake --build "$to" -j "$jobs" --target $(printf 'fuzz_%s ' $targets) || return 1
    export ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=512
    for name in $targets; do
        words=$source/tests/fuzz_words/$name
        mkdir -p "$to/corpus/$name" "$to/findings"
        # shellcheck disable=SC2046 # a word, or none
        if "$to/fuzz_$name" -max_total_time="${QDOT_FUZZ_SECONDS:-20}" -timeout=60 -max_len=512 \
            -close_fd_mask=3 -malloc_limit_mb=100000000 -artifact_prefix="$to/findings/$name-" \
            $([ -f "$words" ] && echo "-dict=$words") "$to/corpus/$name" >"$to/$name.log" 2>&1; then
            passed=$((passed + 1))
            grep '^Done' "$to/$name.log" | sed "s/^/fuzz_$name: /"
        else
            failed=$((failed + 1))
            echo "FAIL fuzz_$name: see $to/$name.log, the input is in $to/findings"
            grep -v -E 'NEW|REDUCE|pulse' "$to/$name.log" | tail -n 25
        fi
    done
    echo "$passed passed, $failed failed, 0 skipped"
    [ "$failed" -eq 0 ]
}

bench_smoke() {
    "$build/qdot" bench --device cpu --suite smoke,small,tiny --min-time 0.01 --peer all --setup \
        --cache-percent 100,50 --json "$build/bench.json" &&
        "$build/qdot" bench --device cpu --suite small --b-at-run --min-time 0.01 --peer all &&
        /usr/bin/python3 "$source/tests/bench_report.py" "$build/bench.json"
}

mutants() {
    sh "$source/tests/mutants.sh"
}
