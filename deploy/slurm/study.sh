#!/usr/bin/env bash
# Submits a study to Slurm: an array job, one server and one part of the samples a
# task, and a job that joins the parts when all have ended well.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: deploy/slurm/study.sh --shards N --folder DIR [OPTION…] -- SUBMIT-OPTION…

  --shards N       tasks, each with a server and an Nth of the samples
  --folder DIR     where databases and logs go, seen by all nodes
  --gres GRES      of each task, such as gpu:1 (default: none, on the CPU)
  --cpus N         processors of each task, and threads of its server (default: 1)
  --server OPTION  an option of kvrecall-server; any number of times
                   (--server --model --server /models/Qwen2.5-7B-Instruct)
  --sbatch OPTION  an option of sbatch for both jobs; any number of times
                   (--sbatch --partition=gpu --sbatch --time=08:00:00)
  --help           show this text

What follows -- is as for kvrecall-client submit: --task hotpotqa --gap.
Called again with the same folder it computes what is missing there.
USAGE
}

fail() {
  echo "study.sh: $*" >&2
  exit 2
}

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
shards= folder= cpus=1
gres=() server=() sbatch=()
while (($# > 0)); do
  case "$1" in
    --)
      shift
      break
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    --shards | --folder | --gres | --cpus | --server | --sbatch)
      (($# >= 2)) || fail "$1 needs a value"
      case "$1" in
        --shards) shards="$2" ;;
        --folder) folder="$2" ;;
        --gres) gres=(--gres="$2") ;;
        --cpus) cpus="$2" ;;
        --server) server+=("$2") ;;
        --sbatch) sbatch+=("$2") ;;
      esac
      shift 2
      ;;
    *)
      usage >&2
      fail "unknown option '$1'"
      ;;
  esac
done
[[ "$shards" =~ ^[1-9][0-9]*$ ]] || fail "--shards needs a number from 1"
[[ -n "$folder" ]] || fail "--folder says where the study is to be kept"
(($# > 0)) || fail "nothing to submit: -- --task TASK, for example"
command -v sbatch > /dev/null || fail "there is no Slurm here (sbatch)"

if [[ -z "${KVRECALL_BIN:-}" && -x "$here/../../build/release/bin/kvrecall-client" ]]; then
  KVRECALL_BIN="$(cd "$here/../../build/release/bin" && pwd)"
fi
export KVRECALL_BIN="${KVRECALL_BIN:-}"
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"

array="$(sbatch --parsable --array="0-$((shards - 1))" \
  --cpus-per-task="$cpus" "${gres[@]}" "${sbatch[@]}" \
  --output="$folder/slurm-%A_%a.log" "$here/kvrecall-study.sbatch" \
  "$folder" "${server[@]}" -- "$@")"
# One that cannot begin any more, because a task failed, does not wait for ever.
merge="$(sbatch --parsable --dependency="afterok:$array" \
  --kill-on-invalid-dep=yes "${sbatch[@]}" \
  --output="$folder/slurm-merge-%j.log" "$here/kvrecall-merge.sbatch" \
  "$folder")"
echo "array job $array, $shards tasks; job $merge joins them in $folder/study.db"
