#!/usr/bin/env bash
# Writes random secrets to a new file that only its owner can read. Keep it out of Git and of images.
#
#   cluster/make_secrets.sh cluster/.env                    for compose.yaml
#   cluster/make_secrets.sh cluster/kuberay/secrets.env     for kuberay/
set -euo pipefail
umask 077
file=${1:?usage: make_secrets.sh FILE}
if [ -e "$file" ]; then
  echo "$file exists and is left as it is: the database was set up with the password in it" >&2
  exit 2
fi
# KubeRay asks for the name `auth_token`.
python3 -c '
import secrets
for name in ("auth_token", "postgres_password", "s3_secret_key"):
    print(f"{name}={secrets.token_hex(32)}")
' >"$file"
echo "wrote $file" >&2
