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
# worker-image
# Python's own variables of the machine mean nothing in the image.
unset PYTHONHOME PYTHONPATH
# tokenuser, tokenpassword
source /work/ana/login.sh
# What is fetched would fill a home directory on AFS.
if [[ ${HOME-} == /afs/* && -z ${APPTAINER_CACHEDIR-} ]]; then
  APPTAINER_CACHEDIR="/tmp/apptainer-cache-$(id -u)"
  mkdir -m 700 "$APPTAINER_CACHEDIR" 2>/dev/null || :
  # Images are run from it: what others have put there is not used.
  if [ ! -d "$APPTAINER_CACHEDIR" ] || [ -L "$APPTAINER_CACHEDIR" ] || [ ! -O "$APPTAINER_CACHEDIR" ]; then
    APPTAINER_CACHEDIR=$(mktemp -d)
  fi
  export APPTAINER_CACHEDIR SINGULARITY_CACHEDIR="$APPTAINER_CACHEDIR"
fi
pocket_exec_runtime=$(command -v -- singularity) || pocket_exec_stop 72 'singularity is not there on this machine; see container-binary and container-runtime'
pocket_exec_words=("$pocket_exec_runtime" exec)
pocket_exec_field() { # a field of comma-separated values
  case $1 in *[,\"]*) printf '"%s"' "${1//\"/\"\"}" ;; *) printf '%s' "$1" ;; esac
}
pocket_exec_mount() { # SOURCE DESTINATION
  if [ ! -e "$1" ]; then
    pocket_exec_say "warning: $1 is not on this machine; it is left out of the image's mounts"
    return
  fi
  case $pocket_exec_mounted in *$'\n'"$2"$'\n'*) return ;; esac
  pocket_exec_mounted+=$2$'\n'
  pocket_exec_words+=(--mount "type=bind,$(pocket_exec_field "source=$1"),$(pocket_exec_field "destination=$2")")
}
pocket_exec_mounted=$'\n'
pocket_exec_mount /work/ana/out/log/run /work/ana/out/log/run
pocket_exec_mount /work/ana /work/ana
pocket_exec_mount /work/ana/out /work/ana/out
for pocket_exec_directory in "$pocket_exec_job" "${TMPDIR-}" "${_CONDOR_SCRATCH_DIR-}"; do
  if [ -d "$pocket_exec_directory" ] && [ "$pocket_exec_directory" != / ]; then
    pocket_exec_mount "$pocket_exec_directory" "$pocket_exec_directory"
  fi
done
pocket_exec_words+=(--pwd "$pocket_exec_job" docker://registry.example/a/b:c)
IFS= read -r -d '' pocket_exec_inner <<'POCKET_EXEC_IN_IMAGE'
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
# Packages of your home directory do not belong to an image.
export PYTHONNOUSERSITE=1
# env
export XRD_RUNFORKHANDLER=1
export MALLOC_TRIM_THRESHOLD_=0
if [ -d /work/ana/out ]; then export POCKET_EXEC_OUTPUT_DIRECTORY=/work/ana/out; else unset POCKET_EXEC_OUTPUT_DIRECTORY; fi
set +eu
trap - EXIT
ulimit -u unlimited 2>/dev/null
if [ ! -r /work/ana/out/log/run/code.zip ]; then pocket_exec_stop 79 '/work/ana/out/log/run/code.zip cannot be read here; see mounts, and shared-filesystem: false'; fi
if [ ! -r /work/ana/out/log/run/worker.json ]; then pocket_exec_stop 79 '/work/ana/out/log/run/worker.json cannot be read here; see mounts, and shared-filesystem: false'; fi
pocket_exec_python=(python3)
if ! command -v python3 >/dev/null && command -v python >/dev/null; then pocket_exec_python=(python); fi
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
POCKET_EXEC_IN_IMAGE
trap - EXIT
pocket_exec_child=
pocket_exec_ending=
pocket_exec_end() {
  pocket_exec_ending=yes
  if [ -n "$pocket_exec_child" ]; then kill -TERM "$pocket_exec_child" 2>/dev/null; fi
}
trap pocket_exec_end TERM INT HUP
export POCKET_EXEC_OUTER_PROCESS=$$
pocket_exec_words+=(/bin/bash -c "$pocket_exec_inner" pocket-exec-worker "$pocket_exec_name" "$pocket_exec_job")
"${pocket_exec_words[@]}" &
pocket_exec_child=$!
if [ -n "$pocket_exec_ending" ]; then pocket_exec_end; fi
wait "$pocket_exec_child"
pocket_exec_status=$?
while kill -0 "$pocket_exec_child" 2>/dev/null; do
  wait "$pocket_exec_child"
  pocket_exec_status=$?
done
case $pocket_exec_status in
  0 | 7[0-9] | 1[3-9][0-9] | 129) exit "$pocket_exec_status" ;; # the worker's own, or a signal's
esac
pocket_exec_stop 73 \
  "$pocket_exec_runtime could not start the image (status $pocket_exec_status); what it said stands above"
