# The steps of scripts/setup. Each says what it does in one line, does nothing when its result is there, and on failure
# says what to do. Reads: root, cache, log.

say() { printf 'setup: %s\n' "$*"; }

# fail MESSAGE REMEDY
fail() {
  printf 'setup: error: %s\nsetup:        %s\n' "$1" "$2" >&2
  exit 1
}

# logged WHAT REMEDY COMMAND...: runs a command with its output in the log, of which a failure shows the end.
logged() {
  local what=$1 remedy=$2
  shift 2
  printf '\n== %s: %s\n' "$what" "$*" >>"$log"
  "$@" >>"$log" 2>&1 && return
  tail -n 15 "$log" >&2
  fail "$what failed (all of its output: ${log#"$PWD/"})" "$remedy"
}

# beside NAME COMMAND...: runs a step in the background, with a log of its own. A group of its own, too, so that Ctrl-C
# ends what the step started.
declare -A background=()
beside() {
  local name=$1
  shift
  set -m
  (log=${log%.log}-$name.log && : >"$log" && "$@") &
  background[$name]=$!
  set +m
  trap stop_background INT TERM
}

stop_background() {
  local pid
  for pid in "${background[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  say "stopped; what was finished is kept"
  exit 130
}

# Waits for the steps in the background. One that fails has said why; what the others did is kept for the next time.
wait_for_all() {
  local name failed=0
  for name in "${!background[@]}"; do
    wait "${background[$name]}" || failed=1
    unset "background[$name]"
  done
  trap - INT TERM
  [[ $failed == 0 ]] || exit 1
}

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "installing packages needs root, and there is no sudo" "as root: apt-get install ${missing[*]}"
  fi
}

# install_debian_packages NAME...
install_debian_packages() {
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
    fail "this is no Debian system" "install the packages that README.md lists, then: make build TROUPE_SETUP=off"
  local missing=() name
  local -A installed=()
  while read -r name; do installed[$name]=1; done < <(
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii  *//p')
  for name in "$@"; do [[ ${installed[$name]:-} ]] || missing+=("$name"); done
  if [[ ${#missing[@]} == 0 ]]; then
    say "Debian packages: present"
    return
  fi
  say "Debian packages: installing ${missing[*]}"
  local remedy="check the network and the disk, then run it again; or as root: apt-get install ${missing[*]}"
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
  # Old package lists name versions that the archive may no longer have: refresh before installing.
  logged "refreshing the package lists" "$remedy" as_root apt-get update -q
  logged "installing Debian packages" "$remedy" as_root "${install[@]}"
}

# The URI of this system's own Debian archive, so that no host needs a name here.
debian_archive() {
  apt-get indextargets --format '$(CREATED_BY)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' |
    sed -n 's/^Packages|Debian|main|//p' | head -n 1
}

# fetch_debian_source PACKAGE VERSION SUITE SHA256: leaves the upstream tarball in the cache and prints its path.
fetch_debian_source() {
  local package=$1 version=$2 suite=$3 sha256=$4
  local tarball=$cache/${package}_${version%-*}.orig.tar.gz
  if ! echo "$sha256  $tarball" | sha256sum --check --status 2>/dev/null; then
    local archive apt_dir=$cache/apt-$suite
    archive=$(debian_archive)
    [[ $archive ]] || fail "no Debian archive is configured for apt" "add the 'main' component of Debian to apt's sources"
    rm -rf "$apt_dir"
    mkdir -p "$apt_dir"/{lists/partial,archives/partial,download}
    echo "deb-src $archive $suite main" >"$apt_dir/sources.list"
    local options=(-q -o "Dir::Etc::SourceList=$apt_dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
      -o "Dir::State::Lists=$apt_dir/lists" -o "Dir::Cache=$apt_dir" -o "APT::Sandbox::User=$(id -un)")
    local remedy="check the network; or place the file (SHA-256 $sha256) at $tarball yourself"
    logged "reading the sources of Debian $suite" "$remedy" apt-get "${options[@]}" update
    logged "downloading $package $version" "$remedy" \
      env --chdir "$apt_dir/download" apt-get "${options[@]}" source --tar-only --only-source "$package=$version"
    local found=("$apt_dir"/download/*.orig.tar.*)
    echo "$sha256  ${found[0]}" | sha256sum --check --status ||
      fail "${found[0]} has an unexpected SHA-256 (want $sha256)" "remove $apt_dir and run it again"
    mv "${found[0]}" "$tarball"
    rm -rf "$apt_dir"
  fi
  printf '%s\n' "$tarball"
}

# build_from_debian_source PREFIX PACKAGE VERSION SUITE SHA256 CMAKE_FLAG...
build_from_debian_source() {
  local prefix=$1 package=$2 version=$3 suite=$4 sha256=$5
  shift 5
  if [[ -e $prefix/complete ]]; then
    say "$package ${version%-*}: present"
    return
  fi
  say "$package ${version%-*}: downloading and building (about a minute, once per machine)"
  local tarball work
  tarball=$(fetch_debian_source "$package" "$version" "$suite" "$sha256")
  work=$cache/work-$package
  rm -rf "$work" "$prefix"
  mkdir -p "$work/source"
  logged "unpacking $package" "remove $tarball and run it again" tar -xf "$tarball" -C "$work/source" --strip-components=1
  local remedy="look at the log; a full disk or too little memory (2 GiB are needed) are likely reasons"
  logged "configuring $package" "$remedy" cmake -S "$work/source" -B "$work/build" -G Ninja "-DCMAKE_INSTALL_PREFIX=$prefix" \
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
    -DCMAKE_UNITY_BUILD=ON "$@"
  logged "building $package" "$remedy" cmake --build "$work/build"
  logged "installing $package" "$remedy" cmake --install "$work/build"
  rm -rf "$work"
  touch "$prefix/complete"
}

# fetch_npm_files FOLDER (PACKAGE@VERSION SHA256 FILE)...: one file of each package's tarball, by npm's own configuration.
fetch_npm_files() {
  local folder=$1
  shift
  if [[ -e $folder/complete ]]; then
    say "chart library: present"
    return
  fi
  say "chart library: downloading"
  local work=$cache/work-npm
  rm -rf "$work" "$folder"
  mkdir -p "$work" "$folder"
  local npm=(npm)
  if ! command -v npm >/dev/null; then # one wheel holds Node and npm: Debian's npm is four hundred packages
    local remedy="check the network and pip's configuration, or install npm yourself: as root, apt-get install npm"
    logged "creating a virtual environment" "is python3-venv installed?" /usr/bin/python3 -m venv "$work/venv"
    logged "installing $node_wheel" "$remedy" "$work/venv/bin/python" -m pip install "$node_wheel"
    npm=(env "PATH=$work/venv/bin:$PATH" npm)
  fi
  while (($# > 0)); do
    local package=$1 sha256=$2 file=$3
    shift 3
    rm -f "$work"/*.tgz
    logged "downloading $package" "check the network, and npm's configuration if you use a mirror" \
      "${npm[@]}" pack --silent --pack-destination "$work" "$package"
    local found=("$work"/*.tgz)
    echo "$sha256  ${found[0]}" | sha256sum --check --status ||
      fail "$package has an unexpected SHA-256 (want $sha256)" "is npm's registry the one you mean? then run it again"
    logged "unpacking $package" "a full disk?" tar -xf "${found[0]}" -C "$folder" --strip-components=2 "package/$file"
  done
  rm -rf "$work"
  touch "$folder/complete"
}

# install_python_packages VENV REQUIREMENT...: nothing where Torch_DIR names a LibTorch.
install_python_packages() {
  local venv=$1
  shift
  local wanted="$*"
  if [[ ${Torch_DIR:-} ]]; then
    [[ -e $Torch_DIR/TorchConfig.cmake ]] ||
      fail "Torch_DIR=$Torch_DIR holds no TorchConfig.cmake" "give the folder that ends in share/cmake/Torch"
    say "LibTorch: using $Torch_DIR"
    return
  fi
  if [[ -e $venv/complete && $(<"$venv/complete") == "$wanted" ]]; then
    say "LibTorch (${1#torch==}) and Python packages: present"
  else
    say "LibTorch (${1#torch==}) and Python packages: installing into ${venv#"$root/"}"
    rm -rf "$venv"
    logged "creating a virtual environment" "is python3-venv installed?" /usr/bin/python3 -m venv "$venv"
    # shellcheck disable=SC2086 # several flags are meant
    logged "installing $wanted" \
      "check the network; TROUPE_PIP_FLAGS passes flags to pip, and Torch_DIR names a LibTorch you already have" \
      "$venv/bin/python" -m pip install ${TROUPE_PIP_FLAGS:-} "$@"
    echo "$wanted" >"$venv/complete"
  fi
}

# find_torch VENV: sets torch_prefix.
find_torch() {
  local venv=$1
  if [[ ${Torch_DIR:-} ]]; then
    torch_prefix=$(cd "$Torch_DIR/../../.." && pwd)
    return
  fi
  local found=("$venv"/lib/python3*/site-packages/torch)
  [[ -e ${found[0]}/share/cmake/Torch/TorchConfig.cmake ]] ||
    fail "the torch wheel in $venv has no CMake files" "remove $venv and run it again"
  torch_prefix=${found[0]}
}

# write_dependency_paths FILE SCRIPTS PREFIX...: what CMake should search, kept unchanged (with its time) when the same.
write_dependency_paths() {
  local file=$1 scripts=$2 prefix
  shift 2
  {
    echo "# Written by scripts/setup; read by CMakeLists.txt. -D<package>_DIR and -DCMAKE_PREFIX_PATH win over it."
    echo "if(NOT DEFINED TROUPE_REPORT_SCRIPTS)"
    echo "  set(TROUPE_REPORT_SCRIPTS \"$scripts\")"
    echo "endif()"
    for prefix in "$@"; do [[ $prefix ]] && echo "list(APPEND CMAKE_PREFIX_PATH \"$prefix\")"; done
  } >"$file.new"
  if cmp -s "$file.new" "$file"; then rm "$file.new"; else mv "$file.new" "$file"; fi
}
