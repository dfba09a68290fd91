internal import Glibc
internal import SquallEngine

/// What this host is, as a report names it.
package enum Host {
  package static var name: String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
    return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// A variable of the environment; nil when it is not set, or empty.
  package static func variable(_ name: String) -> String? {
    guard let text = unsafe getenv(name).map({ unsafe String(cString: $0) }), !text.isEmpty
    else { return nil }
    return text
  }

  /// The kernel's release, as in uname(2).
  package static var kernel: String {
    let text = readText("/proc/sys/kernel/osrelease") ?? "unknown"
    return text.split(separator: "\n").first.map(String.init) ?? "unknown"
  }

  package static var cpuModel: String {
    let lines = (readText("/proc/cpuinfo") ?? "").split(separator: "\n")
    let model = lines.first { $0.hasPrefix("model name") || $0.hasPrefix("CPU part") }
    return model?.split(separator: ":").last.map { String($0.drop { $0 == " " }) } ?? "unknown"
  }

  /// Where this process works; relative paths begin there.
  package static var folder: String {
    guard let text = unsafe getcwd(nil, 0) else { return "/" }
    defer { unsafe free(text) }
    return unsafe String(cString: text)
  }

  /// CPUs this process may run on, ascending.
  package static var cpus: [UInt16] { ThisProcess.cpus }

  /// Names the kernel's life, within which its monotonic clock goes on (random(4)).
  static var boot: String {
    readText("/proc/sys/kernel/random/boot_id")?.split(separator: "\n").first.map(String.init) ?? ""
  }
}
