#!/usr/bin/env bash
# What waits for a GPU, in calls of at most nine minutes each that write JSON:
#
#     benchmarks/on_gpu.sh CALL [OUT] [tiny]
#
#   checks      every kind of layer, training, workers and the whole way give on the GPU what they give on a CPU
#   teacher     the teacher of the CIFAR-10 result
#   recipes     final trainings of that teacher's students: Adam and Nesterov's momentum, one cycle
#   search      the search of the CIFAR-10 result, for a teacher imported as benchmarks/cifar10_headline.py says
#   finals      of the search in the folder N2N_RUN: student, width-scaled, ResNet-20, one by hand and the students N2N_SMALLER, three
#               trainings of N2N_EPOCHS epochs each
#   throughput  float32 and bfloat16, CUDA graphs, several students in turns or in processes
#   paper       the paper's scale: tables 1, 4 and 5, as far as nine minutes go; runs are gone on with
#
# OUT is where JSON goes (benchmarks/results by default). With tiny, everything is so small that a CPU does it in a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
call=$1 out=${2:-benchmarks/results} tiny=${3:-}
mkdir -p "$out"
size() { if [ -n "$tiny" ]; then echo "$1"; else echo "$2"; fi; }

case $call in
checks)
    python3 -m pytest -q -p no:cacheprovider envs_tests/test_cuda.py
    ;;
teacher)
    # shellcheck disable=SC2046
    python3 benchmarks/cifar10_teacher.py --out "$out/cifar10-teacher.json" $(size "--epochs 1 --images 512 --state $out/t.pt" "")
    ;;
recipes)
    # shellcheck disable=SC2046
    python3 benchmarks/final_recipes.py --students 0 --networks resnet20 width-scaled --no-early --no-test \
        $(size "--dataset digits --train-size 64 --epochs 1 --rates 0.01 --nesterov-rates 0.02 --processes 2" \
            "--teacher cifar10-teacher --dataset cifar10 --parameters 280000 --epochs 20 --rates 0.005 0.01 --nesterov-rates 0.02 0.05 --processes 8") \
        --out "$out/final_recipes-cifar10.json"
    ;;
search)
    # shellcheck disable=SC2046
    python3 -m agents.commands.main compress --reward accuracy --agent dyna --stages 2 --finalists 0 --no-speed --recipe steady \
        $(size "--teacher conv2 --dataset digits --train-size 64 --students 4 --iterations 2 --rollouts 2" \
            "--teacher cifar10-teacher --dataset cifar10 --students 72 --iterations 6 --rollouts 12 --constraint parameters<=269000") \
        --out "${N2N_RUN:-runs/headline}"
    ;;
finals)
    # shellcheck disable=SC2046
    python3 benchmarks/cifar10_headline.py --run "${N2N_RUN:-runs/headline}" \
        $(size "--epochs 1 --trainings 2 --processes 2" \
            "--epochs ${N2N_EPOCHS:-90} --beside width-scaled resnet20 benchmarks/results/cifar10-wide-early.json \
                ${N2N_SMALLER:+--smaller $N2N_SMALLER}") \
        --out "$out/cifar10-headline.json"
    ;;
throughput)
    # shellcheck disable=SC2046
    python3 benchmarks/gpu_throughput.py $(size "--networks conv4 --dataset digits --train-size 64 --many 2" "") \
        --out "$out/gpu_throughput.json"
    ;;
paper)
    for table in 1 4 5; do  # what is cut off is gone on with by the next call
        timeout "$(size 100 175)" python3 -m agents.commands.main reproduce "table$table" --scale "$(size tiny paper)" \
            --out "$out/reproduce" || [ $? = 124 ]
    done
    ;;
*)
    sed -n '2,/^set/p' "$0" | grep '^#'
    exit 2
    ;;
esac
