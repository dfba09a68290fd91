/// What the shell of a host is told to do. It is one argument of ssh in single quotes, which every login
/// shell passes on as it is, as long as there is neither a single quote nor a backslash nor an
/// exclamation mark in it. Then /bin/sh reads it (POSIX 2.14 and the commands of its volume XCU).
package enum RemoteScript {
  /// The first word of each line that is for us.
  static let mark = "squall-fleet"

  private static let folder = #"umask 077; d="${XDG_CACHE_HOME:-$HOME/.cache}/squall"; "#

  package static func command(for job: HostSession.Job, cargo: Cargo) -> String {
    let script =
      switch job {
      case .work(_, let arguments):
        preparation(cargo)
          + #"read -r SQUALL_TOKEN || exit 0; export SQUALL_TOKEN; "#
          + #"exec "$f" worker --until-input-ends --master-port "$port" "#
          + arguments.joined(separator: " ")
      case .doctor:
        preparation(cargo) + #"exec "$f" doctor --json </dev/null"#
      case .clean:
        folder
          + #"c=0; for f in "$d"/*; do n=${f##*/}; case $n in *.new.*) h=${n%.new.*};; *) h=$n;; "#
          + #"esac; case $h in *[g-zG-Z._-]*) continue;; esac; [ ${#h} = 64 ] || continue; "#
          + #"rm -f "$f" && c=$((c + 1)); done; rmdir "$d" 2>/dev/null; echo \#(mark) removed $c"#
      }
    return "exec /bin/sh -c '\(script)'"
  }

  /// Until `f` is the program and the word for what to do with it has been read.
  ///
  /// The shell reads a line byte by byte, so that what follows is left for head; head takes as many
  /// bytes as it is told. The name stands for a whole file or nothing: it gets it by renaming.
  private static func preparation(_ cargo: Cargo) -> String {
    folder
      + #"f="$d/\#(cargo.hash)"; mkdir -p "$d" || exit 73; h=absent; [ -x "$f" ] && h=cached; "#
      + #"echo \#(mark) here "$(uname -m)" $h "$(getconf GNU_LIBC_VERSION 2>/dev/null)"; "#
      + #"read -r word port || exit 0; "#
      + #"if [ "$word" = bring ]; then t="$f.new.$$"; head -c "$port" >"$t"; "#
      + #"set -- $(sha256sum "$t"); if [ "$1" = \#(cargo.hash) ] && chmod 700 "$t" && mv -f "$t" "$f"; "#
      + #"then echo \#(mark) brought; else rm -f "$t"; echo \#(mark) spoilt; exit 74; fi; "#
      + #"read -r word port || exit 0; fi; "#
  }
}
