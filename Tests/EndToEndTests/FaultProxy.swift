import Foundation
import Glibc
import SquallLoad
import Testing

/// Stands between agents and their master on loopback, over TCP and over UDP on the same port
/// number, and does to what passes what networks do. What it does to datagrams follows from its seed.
final class FaultProxy: @unchecked Sendable {
  /// Of datagrams, each way, in percent.
  struct Weather {
    var loss = 0
    var duplication = 0
    /// Held back for up to 40 ms, so that others overtake them.
    var delay = 0
  }

  private struct Pair {
    var ends: [Int32]
    var pending: [[UInt8]] = [[], []]
  }

  private struct Held {
    var dueNs: UInt64
    var bytes: [UInt8]
    var isForMaster: Bool
  }

  let port: UInt16
  let seed: UInt64
  private let master: UInt16
  private let weather: Weather
  private let lock = NSLock()
  private let listening: Int32
  private let outer: Int32
  private let inner: Int32
  private var random: SplitMix64
  private var pairs: [Pair] = []
  private var held: [Held] = []
  private var agent: sockaddr_in?
  private var isStalled = false
  private var isRefusing = false
  private var isEnded = false
  private var passed: [[UInt8]] = []

  /// What has gone through, and what did not come through.
  private(set) var datagramCount = 0
  private(set) var lostCount = 0

  init(to master: UInt16, seed: UInt64 = .random(in: 0...UInt64.max), weather: Weather = Weather())
    throws
  {
    self.master = master
    self.seed = seed
    self.weather = weather
    random = SplitMix64(seed: seed)
    (listening, port) = try listener()
    outer = try Self.datagramSocket(port: port)
    inner = try Self.datagramSocket(port: 0)
    Thread { [self] in while turn() {} }.start()
  }

  deinit {
    for socket in [listening, outer, inner] + pairs.flatMap(\.ends) { close(socket) }
  }

  func end() { lock.withLock { isEnded = true } }

  /// Cuts every connection, as a router that lost its state does: both ends get a reset.
  func cut() {
    lock.withLock {
      for pair in pairs { for end in pair.ends { Self.reset(end) } }
      pairs = []
    }
  }

  /// Nothing passes, and nobody is told.
  func stall(_ isStalled: Bool) { lock.withLock { self.isStalled = isStalled } }

  /// New connections are closed at once.
  func refuse(_ isRefusing: Bool) { lock.withLock { self.isRefusing = isRefusing } }

  var connectionCount: Int { lock.withLock { pairs.count } }

  /// Datagrams of agents, as they came.
  var seen: [[UInt8]] { lock.withLock { passed } }

  private func turn() -> Bool {
    var polls = lock.withLock {
      ([listening, outer, inner] + (isStalled ? [] : pairs.flatMap(\.ends))).map {
        pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
      }
    }
    _ = poll(&polls, nfds_t(polls.count), 2)
    return lock.withLock {
      if isEnded {
        for pair in pairs { for end in pair.ends { close(end) } }
        pairs = []
        return false
      }
      let ready = Set(polls.filter { $0.revents != 0 }.map(\.fd))
      if ready.contains(listening) { accept() }
      if !isStalled { forward(ready) }
      if ready.contains(outer) { take(from: outer, isForMaster: true) }
      if ready.contains(inner) { take(from: inner, isForMaster: false) }
      release()
      return true
    }
  }

  // MARK: Connections

  private func accept() {
    let near = Glibc.accept(listening, nil, nil)
    guard near >= 0 else { return }
    let far = isRefusing ? -1 : (try? connection(to: master)) ?? -1
    guard far >= 0 else { return Self.reset(near) }
    for end in [near, far] {
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
    }
    pairs.append(Pair(ends: [near, far]))
  }

  private func forward(_ ready: Set<Int32>) {
    for index in pairs.indices.reversed() {
      var isOpen = true
      for side in 0...1 {
        let (from, to) = (pairs[index].ends[side], pairs[index].ends[1 - side])
        if ready.contains(from), pairs[index].pending[side].count < 1 << 20 {
          var room = [UInt8](repeating: 0, count: 65_536)
          let count = recv(from, &room, room.count, 0)
          if count > 0 { pairs[index].pending[side] += room.prefix(count) }
          if count == 0 || count < 0 && errno != EAGAIN { isOpen = false }
        }
        let bytes = pairs[index].pending[side]
        guard !bytes.isEmpty else { continue }
        let count = send(to, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        if count > 0 { pairs[index].pending[side].removeFirst(count) }
        if count < 0 && errno != EAGAIN { isOpen = false }
      }
      guard !isOpen else { continue }
      for end in pairs[index].ends { close(end) }
      pairs.remove(at: index)
    }
  }

  private static func reset(_ socket: Int32) {
    var now = linger(l_onoff: 1, l_linger: 0)
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    close(socket)
  }

  // MARK: Datagrams

  private static func datagramSocket(port: UInt16) throws -> Int32 {
    let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let socket = Glibc.socket(AF_INET, kind, 0)
    var address = loopback(port: port)
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    try #require(bound == 0, "bind UDP \(port): \(String(cString: strerror(errno)))")
    return socket
  }

  private func take(from socket: Int32, isForMaster: Bool) {
    while true {
      var room = [UInt8](repeating: 0, count: 2_048)
      var from = sockaddr_in()
      var byteCount = socklen_t(MemoryLayout<sockaddr_in>.size)
      let count = withUnsafeMutablePointer(to: &from) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          recvfrom(socket, &room, room.count, 0, $0, &byteCount)
        }
      }
      guard count > 0 else { return }
      if isForMaster {
        agent = from
        passed.append(Array(room.prefix(count)))
      }
      datagramCount += 1
      guard !isStalled, random.percent() >= weather.loss else {
        lostCount += 1
        continue
      }
      for _ in 0...(random.percent() < weather.duplication ? 1 : 0) {
        let delayNs = random.percent() < weather.delay ? random.next() % 40_000_000 : 0
        held.append(
          Held(
            dueNs: monotonicNs() + delayNs, bytes: Array(room.prefix(count)),
            isForMaster: isForMaster))
      }
    }
  }

  private func release() {
    let nowNs = monotonicNs()
    for datagram in held where datagram.dueNs <= nowNs {
      let address = datagram.isForMaster ? loopback(port: master) : agent
      guard let address else { continue }
      sendDatagram(datagram.bytes, by: datagram.isForMaster ? inner : outer, to: address)
    }
    held.removeAll { $0.dueNs <= nowNs }
  }
}

func sendDatagram(_ bytes: [UInt8], by socket: Int32, to address: sockaddr_in) {
  var address = address
  withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      _ = sendto(
        socket, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
}

/// A blocking connection to a port on loopback.
func connection(to port: UInt16) throws -> Int32 {
  let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  var address = loopback(port: port)
  let connected = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
  guard connected == 0 else {
    close(socket)
    throw Child.TookTooLong(
      description: "connect to \(port): \(String(cString: strerror(errno)))")
  }
  return socket
}

extension SplitMix64 {
  /// 0 to 99.
  mutating func percent() -> Int { Int(next() % 100) }
}
