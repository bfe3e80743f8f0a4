cd /tmp/dev; export OMP_NUM_THREADS=1 PYTHONPATH=/work/main
/work/main/.venv/bin/python /work/main/benchmarks/transfer.py --samples /tmp/tables/samples --develop --updates 1000 --seeds 1 --trainings 0 --contenders pretrained constant-rate across-spaces gaussian-process --runs /tmp/dev/a --out /tmp/dev/a.json
