#!/bin/bash
# Starts one Dask worker of pocket-exec; its name is the only argument.
pocket_exec_name=$1
pocket_exec_job=${2-$PWD}
export USER="${USER:-$(id -un 2>/dev/null || id -u)}"
pocket_exec_say() { printf 'pocket-exec worker %s: %s\n' "$pocket_exec_name" "${1//$'\n'/; }" >&2; }
pocket_exec_stop() { trap - EXIT; pocket_exec_say "$2"; exit "$1"; } # STATUS TEXT
pocket_exec_failed() { pocket_exec_stop 70 "failed with status $1: $pocket_exec_doing"; }
pocket_exec_check() { if [ "$1" -ne 0 ]; then pocket_exec_failed "$1"; fi; }
pocket_exec_doing='the start of the worker'
trap 'pocket_exec_failed "$?"' EXIT
# working-dir
cd -- /work/ana 2>/dev/null || cd -- "$pocket_exec_job" || pocket_exec_stop 77 'the job'"'"'s directory is not seen here'
# env
export XRD_RUNFORKHANDLER=1
export MALLOC_TRIM_THRESHOLD_=0
if [ -d /work/ana/out ]; then export POCKET_EXEC_OUTPUT_DIRECTORY=/work/ana/out; else unset POCKET_EXEC_OUTPUT_DIRECTORY; fi
# conda-env
[ -d /home/p/mamba/envs/ana ] || pocket_exec_stop 71 '/home/p/mamba/envs/ana (conda-env) is not here; see mounts'
unset PYTHONHOME
export CONDA_PREFIX=/home/p/mamba/envs/ana CONDA_DEFAULT_ENV=/home/p/mamba/envs/ana CONDA_SHLVL=1
export PATH="$CONDA_PREFIX/bin:$PATH"
for pocket_exec_script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do
  if [ ! -r "$pocket_exec_script" ]; then continue; fi
  pocket_exec_doing="conda-env: source $pocket_exec_script"
  source "$pocket_exec_script"
  pocket_exec_status=$?
  if [ "$pocket_exec_status" -ne 0 ]; then
    pocket_exec_say "warning: $pocket_exec_script (conda-env) ended with status $pocket_exec_status"
  fi
done
# custom-setup-commands
pocket_exec_doing='ulimit -s unlimited'
eval "$pocket_exec_doing"
pocket_exec_check "$?"
set +eu
trap - EXIT
ulimit -u unlimited 2>/dev/null
if [ ! -r /work/ana/out/log/run/code.zip ]; then pocket_exec_stop 79 '/work/ana/out/log/run/code.zip cannot be read here; see mounts, and shared-filesystem: false'; fi
if [ ! -r /work/ana/out/log/run/worker.json ]; then pocket_exec_stop 79 '/work/ana/out/log/run/worker.json cannot be read here; see mounts, and shared-filesystem: false'; fi
pocket_exec_python=(/home/p/mamba/envs/ana/bin/python)
pocket_exec_archive=/work/ana/out/log/run/code.zip
command -v -- "${pocket_exec_python[0]}" >/dev/null ||
  pocket_exec_stop 71 "no ${pocket_exec_python[0]} here; see executable and worker-image"
pocket_exec_test='import sys, zipfile; sys.exit(0 if zipfile.is_zipfile(sys.argv[1]) else 79)'
"${pocket_exec_python[@]}" -I -S -c "$pocket_exec_test" "$pocket_exec_archive"
pocket_exec_status=$?
case $pocket_exec_status in
  0) ;;
  79) pocket_exec_stop 79 "only a part of $pocket_exec_archive is here" ;;
  *)
    pocket_exec_stop 71 \
      "Python does not start here (status $pocket_exec_status): ${pocket_exec_python[*]}"
    ;;
esac
shopt -s execfail
exec "${pocket_exec_python[@]}" "$pocket_exec_archive" /work/ana/out/log/run/worker.json "$pocket_exec_name"
pocket_exec_stop 71 "Python could not be started: ${pocket_exec_python[*]}"
