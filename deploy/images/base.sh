# What every image holds besides its program: files of three Debian packages, unpacked and not installed.

base_packages=(libc6 libgcc-s1 ca-certificates)

# The compiler library's licence lies in a package of its own, whose name has the compiler's version in it.
licence_package() { apt-cache depends libgcc-s1 2>/dev/null | sed -n 's/^ *Depends: \(gcc-.*-base\)$/\1/p' | head -n 1; }

# base_folder: prints a folder with the base's files, made once per set of package versions.
base_folder() {
  local cache=${APERIUM_CACHE:-$HOME/.cache/aperium} versions folder
  versions=$(package_versions)
  if [ "$(wc -l <<<"$versions")" -le ${#base_packages[@]} ]; then
    apt-get update -qq >&2
    versions=$(package_versions)
  fi
  folder=$cache/image-base-$( { echo "$versions"; cat "${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-16)
  if [ ! -e "$folder/.complete" ]; then
    mkdir -p "$cache"
    make_base "$folder" "$versions"
  fi
  echo "$folder"
}

package_versions() {
  apt-cache show --no-all-versions "${base_packages[@]}" "$(licence_package)" 2>/dev/null | awk '/^Package: /{name=$2} /^Version: /{print name "=" $2}'
}

make_base() {
  local folder=$1 versions=$2 work root
  work=$(mktemp -d)
  root=$work/root
  mkdir -p "$work/packages" "$root"
  # shellcheck disable=SC2086  # one argument per package
  (cd "$work/packages" && apt-get download -qq -o APT::Sandbox::User=root $versions) >&2
  for package in "$work/packages"/*.deb; do dpkg -x "$package" "$root"; done
  keep_what_programs_need "$root"

  # The package leaves this to its installation script: all trusted authorities in one file, where every TLS library looks.
  mkdir -p "$root/etc/ssl/certs"
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
  rm -rf "$root/usr/share/ca-certificates"

  # The C library resolves names by these files; `tmp` is there for a volume to be mounted on.
  echo 'aperium:x:65532:65532::/nonexistent:/nonexistent' >"$root/etc/passwd"
  echo 'aperium:x:65532:' >"$root/etc/group"
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
  mkdir -p "$root/tmp"
  chmod 1777 "$root/tmp"

  echo "$versions" >"$root/.complete"
  chmod 755 "$root"
  rm -rf "$folder"
  mv "$root" "$folder"
  rm -rf "$work"
}

# Character sets, locales, programs and documentation go; licences stay, as the packages' terms ask.
keep_what_programs_need() {
  local root=$1
  rm -rf "$root"/usr/lib/*/gconv "$root"/usr/lib/*/audit "$root"/usr/{bin,sbin} "$root"/{bin,sbin} "$root"/etc/* "$root"/usr/share/{man,lintian,locale,bug,gcc}
  find "$root/usr/share/doc" \( -type f -o -type l \) ! -name copyright -delete
  find "$root" -mindepth 1 -type d -empty -delete
}

# needed_libraries_are_there ROOT PROGRAM: an image that lacks one would only fail when it is started.
needed_libraries_are_there() {
  local root=$1 program=$2 library
  for library in $(readelf --dynamic "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    [ -n "$(find "$root" -name "$library" -print -quit)" ] || {
      echo "$program needs $library, which no package of the image has" >&2
      exit 1
    }
  done
}
