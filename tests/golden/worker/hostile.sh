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
source '/run/a'"'"'; echo x/$$/login.sh'
export APPTAINER_CACHEDIR=/cache/"$USER"'/$(id)' SINGULARITY_CACHEDIR=/cache/"$USER"'/$(id)'
pocket_exec_runtime=$(command -v -- '/bin/$$') || pocket_exec_stop 72 '/bin/$$ is not there on this machine; see container-binary and container-runtime'
[ -e '/images/$(id) a'"'"'; echo x' ] || pocket_exec_stop 73 'no image /images/$(id) a'"'"'; echo x on this machine'
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
pocket_exec_mount /src/plain /dst/plain
pocket_exec_mount '/src/a b' '/dst/a b'
pocket_exec_mount '/src/a'"'"'; echo x' '/dst/a'"'"'; echo x'
pocket_exec_mount '/src/q"=0"' '/dst/q"=0"'
pocket_exec_mount '/src/$(id)' '/dst/$(id)'
pocket_exec_mount '/src/$$' '/dst/$$'
pocket_exec_mount /src/%h /dst/%h
pocket_exec_mount '/src/$HOME' '/dst/$HOME'
pocket_exec_mount '/src/`id`' '/dst/`id`'
pocket_exec_mount '/src/ünï/côdé' '/dst/ünï/côdé'
pocket_exec_mount /src/a,b:c=d /dst/a,b:c=d
pocket_exec_mount /src/-n /dst/-n
pocket_exec_mount '/src/\' '/dst/\'
pocket_exec_mount '/src/*' '/dst/*'
pocket_exec_mount '/run/a'"'"'; echo x/$$' '/run/a'"'"'; echo x/$$'
pocket_exec_mount '/cwd/a b/q"=0"' '/cwd/a b/q"=0"'
pocket_exec_mount '/out/%h/ünï/côdé' '/out/%h/ünï/côdé'
pocket_exec_mount '/env/a'"'"'; echo x/$(id).sh' '/env/a'"'"'; echo x/$(id).sh'
mkdir -p /scratch/"$USER"'/$(id)/'"$USER" 2>/dev/null
pocket_exec_mount /scratch/"$USER"'/$(id)/'"$USER" /scratch/"$USER"'/$(id)/'"$USER"
for pocket_exec_directory in "$pocket_exec_job" "${TMPDIR-}" "${_CONDOR_SCRATCH_DIR-}"; do
  if [ -d "$pocket_exec_directory" ] && [ "$pocket_exec_directory" != / ]; then
    pocket_exec_mount "$pocket_exec_directory" "$pocket_exec_directory"
  fi
done
pocket_exec_words+=(--no-home plain 'a b' 'a'"'"'; echo x' 'q"=0"' '$(id)' '$$' %h '$HOME' '`id`' 'ünï/côdé' a,b:c=d -n '\' '*' --pwd "$pocket_exec_job" '/images/$(id) a'"'"'; echo x')
IFS= read -r -d '' pocket_exec_inner <<'POCKET_EXEC_IN_IMAGE_'
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
cd -- '/cwd/a b/q"=0"' || pocket_exec_stop 77 '/cwd/a b/q"=0" (working-dir) cannot be entered here; see mounts'
# Packages of your home directory do not belong to an image.
export PYTHONNOUSERSITE=1
# env-script
pocket_exec_doing='env-script /env/a'"'"'; echo x/$(id).sh'
source '/env/a'"'"'; echo x/$(id).sh'
pocket_exec_check "$?"
# env
export XRD_RUNFORKHANDLER=1
export MALLOC_TRIM_THRESHOLD_=0
export WORD_0=plain
export WORD_1='a b'
export WORD_2='a'"'"'; echo x'
export WORD_3='q"=0"'
export WORD_4='$(id)'
export WORD_5='$$'
export WORD_6=%h
export WORD_7='$HOME'
export WORD_8='`id`'
export WORD_9='ünï/côdé'
export WORD_10=a,b:c=d
export WORD_11=-n
export WORD_12='\'
export WORD_13='*'
export X509_USER_PROXY="$pocket_exec_job"/'a b.pem'
if [ -d '/out/%h/ünï/côdé' ]; then export POCKET_EXEC_OUTPUT_DIRECTORY='/out/%h/ünï/côdé'; else unset POCKET_EXEC_OUTPUT_DIRECTORY; fi
# custom-setup-commands
pocket_exec_next() { # takes the next command off the block
  pocket_exec_doing=
  while [ -n "$pocket_exec_block" ]; do
    pocket_exec_doing+=${pocket_exec_doing:+$'\n'}${pocket_exec_block%%$'\n'*}
    pocket_exec_block=${pocket_exec_block#*$'\n'}
    if (eval "pocket_exec_whole() {"$'\n:\n'"$pocket_exec_doing"$'\n}') 2>/dev/null; then return; fi
  done
}
pocket_exec_doing='if true; then # unbalanced'
eval "$pocket_exec_doing"
pocket_exec_check "$?"
pocket_exec_block='cat <<'"'"'POCKET_EXEC_IN_IMAGE'"'"'
POCKET_EXEC_IN_IMAGE
'
while [ -n "$pocket_exec_block" ]; do
  pocket_exec_next
  eval "$pocket_exec_doing"
  pocket_exec_check "$?"
done
pocket_exec_doing=''"'"''
eval "$pocket_exec_doing"
pocket_exec_check "$?"
set +eu
trap - EXIT
ulimit -u unlimited 2>/dev/null
if [ ! -r '/run/a'"'"'; echo x/$$/code.zip' ]; then pocket_exec_stop 79 '/run/a'"'"'; echo x/$$/code.zip cannot be read here; see mounts, and shared-filesystem: false'; fi
if [ ! -r '/run/a'"'"'; echo x/$$/worker.json' ]; then pocket_exec_stop 79 '/run/a'"'"'; echo x/$$/worker.json cannot be read here; see mounts, and shared-filesystem: false'; fi
pocket_exec_python=('/python/a'"'"'; echo x' plain 'a b' 'a'"'"'; echo x' 'q"=0"' '$(id)' '$$' %h '$HOME' '`id`' 'ünï/côdé' a,b:c=d -n '\' '*')
pocket_exec_archive='/run/a'"'"'; echo x/$$/code.zip'
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
exec "${pocket_exec_python[@]}" "$pocket_exec_archive" '/run/a'"'"'; echo x/$$/worker.json' "$pocket_exec_name"
pocket_exec_stop 71 "Python could not be started: ${pocket_exec_python[*]}"
POCKET_EXEC_IN_IMAGE_
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
