internal import NIOCore
internal import SquallTLS

/// This program as a file, and what it needs of a host to run there.
package struct Cargo: Sendable {
  let bytes: ByteBuffer
  /// SHA-256 in hexadecimal: the file's name on every host.
  let hash: String
  /// As uname(1) calls it.
  let architecture: String
  /// The oldest glibc that has every symbol it asks for; nil when it asks for none by version.
  let library: LibraryVersion?

  package init(bytes: [UInt8], architecture: String) {
    self.bytes = ByteBuffer(bytes: bytes)
    self.architecture = architecture
    hash = sha256(bytes).map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
    library = LibraryVersion.newest(in: bytes)
  }

  /// The program that runs now.
  package static func ours() throws(Complaint) -> Cargo {
    guard let bytes = readBytes("/proc/self/exe") else {
      throw .world("this program's own file cannot be read, so it cannot be brought anywhere.")
    }
    return Cargo(bytes: bytes, architecture: machine)
  }

  #if arch(x86_64)
    private static let machine = "x86_64"
  #elseif arch(arm64)
    private static let machine = "aarch64"
  #endif

  /// Why it cannot run on a host of this kind; nil when nothing is against it.
  func misfit(architecture theirs: String, library: String) -> String? {
    guard theirs == architecture else {
      return
        "its CPUs are \(theirs), and this squall is built for \(architecture): install a squall "
        + "of its own there and start squall worker by hand"
    }
    guard let needed = self.library else { return nil }
    guard let version = LibraryVersion(library) else {
      return "it has no glibc (a musl system?), and this squall needs glibc \(needed) or newer"
    }
    guard version >= needed else {
      return
        "its glibc \(version) is older than the \(needed) that this squall needs: build squall "
        + "on a system as old, or bring the host's up to date"
    }
    return nil
  }
}

/// A version of glibc.
package struct LibraryVersion: Comparable, CustomStringConvertible, Sendable {
  var major: Int
  var minor: Int

  init(major: Int, minor: Int) {
    self.major = major
    self.minor = minor
  }

  /// `glibc 2.36`, as getconf GNU_LIBC_VERSION tells it, or the number alone.
  package init?(_ text: some StringProtocol) {
    let numbers = text.split(separator: " ").last?.split(separator: ".").map { Int($0) } ?? []
    guard numbers.count >= 2, let major = numbers[0], let minor = numbers[1] else { return nil }
    self.major = major
    self.minor = minor
  }

  package var description: String { "\(major).\(minor)" }

  package static func < (one: LibraryVersion, other: LibraryVersion) -> Bool {
    (one.major, one.minor) < (other.major, other.minor)
  }

  /// The names of symbols' versions stand in a program's table of strings as `GLIBC_2.34`, between
  /// zeros (the ELF gABI's string table, and symbol versioning in the Linux Standard Base).
  package static func newest(in program: [UInt8]) -> LibraryVersion? {
    let mark = Array("\0GLIBC_2.".utf8)
    var newest: LibraryVersion?
    var place = 0
    let span = program.span
    while place + mark.count < span.count {
      defer { place += 1 }
      guard span[place] == 0, mark.indices.allSatisfy({ span[place + $0] == mark[$0] }) else {
        continue
      }
      var minor = 0
      var end = place + mark.count
      while end < span.count, minor < 1_000, case let digit = Int(span[end]) - 0x30,
        (0...9).contains(digit)
      {
        minor = minor * 10 + digit
        end += 1
      }
      guard end > place + mark.count else { continue }
      let version = LibraryVersion(major: 2, minor: minor)
      newest = max(newest ?? version, version)
    }
    return newest
  }
}
