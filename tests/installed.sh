# What the install scripts share: a folder below the cache that is named by what is pinned, and filled once.
# shellcheck shell=bash

# installed NAME FILE...: sets $folder to `NAME-<hash of the files>`. Where that is not complete, it is made anew by the
# script's own function `fill`, all of whose output goes to standard error. Not to be called where a failure would go
# unnoticed: in a condition or a command substitution.
installed() {
  local name=$1 cache=${APERIUM_CACHE:-$HOME/.cache/aperium}
  shift
  folder=$cache/$name-$(cat "$@" | sha256sum | cut -c1-16)

  # Tests of several programs may want it at the same time: the first installs, the others wait.
  mkdir -p "$cache"
  exec 9>"$folder.lock"
  flock 9

  if [ ! -e "$folder/.complete" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    fill >&2
    touch "$folder/.complete"
  fi
}

# npm_packages: installs what package.json and package-lock.json of $here pin into $folder/node_modules.
npm_packages() {
  cp "$here/package.json" "$here/package-lock.json" "$folder"
  (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error)
}

# python_packages VENV [OPTION...]: installs what requirements.txt of $here pins into a virtual environment of its own.
python_packages() {
  local venv=$1
  shift
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --no-deps --disable-pip-version-check "$@" -r "$here/requirements.txt"
  "$venv/bin/python" -m pip check
}
