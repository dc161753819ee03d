# Sourced from the root of a checkout: a copy of it to install from, as a build leaves files behind, and `install` for
# environments beside it; all goes at the end.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/checkout"
git ls-files -z | xargs -0 cp --parents -t "$work/checkout"
cd "$work/checkout"

install() {  # install ENVIRONMENT REQUIREMENTS…
    [ -d "$work/$1" ] || python3 -m venv "$work/$1"
    "$work/$1/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt "${@:2}"
}
