#!/usr/bin/env bash
# Runs optitrip as the entrypoint of a Ray job whose controller retries every job that fails, whatever its exit status,
# as KubeRay does (`backoffLimit` of a RayJob). What would end the same way again must not be retried:
#
#   ray_job.sh optitrip sweep FILE --state-dir DIR
#
#   optitrip's exit status                            the Ray job becomes   the controller
#   0     finished                                    SUCCEEDED             is done
#   1     no answer                                   STOPPED               is done
#   2     bad sweep file or state                     STOPPED               is done
#   3     more failures than allowed                  STOPPED               is done
#   75    stopped, can be resumed                     FAILED                tries again, which resumes
#   128+n a signal; any other: a crash                FAILED                tries again, which resumes
#
# STOPPED is neither a success nor a failure, so nobody takes the sweep for finished. The log has the reason.
set -uo pipefail

# `ray job stop` signals every process of the job. This one must not end before optitrip, which needs some seconds to
# stop: with a trap, bash waits for it.
trap : INT TERM

"$@"
status=$?
case $status in
1 | 2 | 3) ;;
*) exit "$status" ;;
esac

echo "ray_job.sh: exit status $status of optitrip is final; stopping this Ray job, so that it is not retried" >&2
job=$(python3 -c 'import json, os; print(json.loads(os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"])["metadata"]["job_submission_id"])') ||
  exit "$status"
ray job stop --no-wait "$job" || exit "$status"
sleep 60 # until Ray's signal comes
exit "$status"
