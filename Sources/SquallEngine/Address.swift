package import CSquall
internal import Glibc

/// An IPv4 or IPv6 address with its TCP port, or the path of a Unix socket.
package struct Address: Sendable, CustomStringConvertible {
  package var raw: squall_address

  package init(raw: squall_address) { self.raw = raw }

  /// That of nothing.
  package static var none: Address { Address(raw: .init()) }

  /// Nil when `text` is neither an address in numbers (names are looked up by `resolve`) nor a path
  /// from the root that a socket may have.
  package init?(_ text: String, port: UInt16) {
    var raw = squall_address()
    guard unsafe squall_address_parse(text, port, &raw) == 0 else { return nil }
    self.raw = raw
  }

  package var description: String {
    var copy = raw
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 112) { text in
      unsafe squall_address_format(&copy, text.baseAddress, text.count)
      return unsafe String(cString: text.baseAddress!)
    }
  }

  /// A name that could not be turned into an address.
  package struct ResolveError: Error {
    package let host: String
    /// gai_strerror(3).
    package let cause: String
  }

  /// At most this many addresses of one name are used.
  package static let resolvedCountMax = 64

  /// All TCP addresses of a host name or of an address in text, in the order getaddrinfo(3) gives
  /// them. Blocks while the name is looked up.
  package static func resolve(_ host: String, port: UInt16) throws(ResolveError) -> [Address] {
    var found = Array(repeating: squall_address(), count: resolvedCountMax)
    let count = unsafe squall_address_resolve(host, port, &found, UInt32(resolvedCountMax))
    guard count > 0 else {
      let cause =
        count == 0 ? "no TCP address" : unsafe String(cString: squall_resolve_explain(count))
      throw ResolveError(host: host, cause: cause)
    }
    return found.prefix(Int(count)).map { Address(raw: $0) }
  }
}

extension Address {
  /// The address as bind(2) takes it, to be handed to another process on this host.
  package var bytes: [UInt8] {
    unsafe withUnsafeBytes(of: raw.bytes) { unsafe Array($0.prefix(Int(raw.byte_count))) }
  }

  /// Nil when longer than any address of ours.
  package init?(bytes: [UInt8]) {
    var raw = squall_address()
    let fits = unsafe withUnsafeMutableBytes(of: &raw.bytes) { room in
      guard bytes.count <= room.count else { return false }
      unsafe room.copyBytes(from: bytes)
      return true
    }
    guard fits else { return nil }
    raw.byte_count = UInt32(bytes.count)
    self.raw = raw
  }
}

extension Address {
  /// A connected socket whose calls block up to `timeoutNs` each, its connecting included.
  package func connect(timeoutNs: UInt64) throws(SystemError) -> Int32 {
    var raw = raw
    return try SystemError.check(
      "connect", unsafe squall_socket_open(&raw, Int32(clamping: max(1, timeoutNs / 1_000_000))))
  }

  /// Listening sockets that share the port, which is the kernel's choice when this has port 0, and the
  /// address with that port. Fails when another program has it: SO_REUSEPORT alone would share it with
  /// one of the same user, in silence.
  package func listen(count: Int) throws(SystemError) -> (listeners: [Int32], at: Address) {
    var raw = raw
    try SystemError.check("bind \(self)", unsafe squall_listen_check(&raw))
    var listeners: [Int32] = []
    for _ in 0..<count {
      var port: UInt16 = 0
      let listener = unsafe squall_listen(&raw, &port)
      guard listener >= 0 else {
        for listener in listeners { close(listener) }
        throw SystemError(call: "listen on \(self)", errno: -listener)
      }
      listeners.append(listener)
      // sin_port and sin6_port: big-endian, behind the family (ip(7), ipv6(7)).
      unsafe withUnsafeMutableBytes(of: &raw.bytes) { bytes in
        unsafe bytes.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
      }
    }
    return (listeners, Address(raw: raw))
  }
}

/// Addresses that stay in one place in memory, because the kernel reads them only when it is entered.
@safe package struct AddressList: ~Copyable {
  private let addresses: UnsafeMutablePointer<squall_address>
  package let count: Int

  package init(_ list: [Address]) {
    count = list.count
    unsafe addresses = .allocate(capacity: max(1, list.count))
    for (index, address) in list.enumerated() {
      unsafe (addresses + index).initialize(to: address.raw)
    }
  }

  deinit { unsafe addresses.deallocate() }

  /// The address at `turn`, counted round and round.
  func pointer(_ turn: Int) -> UnsafePointer<squall_address> {
    precondition(count > 0, "an address of an empty list")
    return unsafe UnsafePointer(addresses + turn % count)
  }
}
