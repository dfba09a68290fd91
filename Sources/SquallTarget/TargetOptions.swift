package import SquallEngine
package import SquallTLS

/// How the built-in target behaves. Zero switches a behaviour off.
///
/// What a request asks for itself (`?delay=`, `?stall=`) goes before what is set here for all.
/// `/count` is answered at once whatever is set.
package struct TargetOptions: Sendable {
  package static let processCountMax = 256
  package static let slotCountMax: UInt32 = 65_536
  package static let arrivalCountMaxMax: UInt64 = 1 << 30
  /// Slots that a ring registers at most (IORING_MAX_FIXED_FILES is 2^20; a row each must fit too).
  package static let connectionCountMaxMax: UInt32 = 1 << 20

  /// Port 0 lets the kernel choose one.
  package var address: Address
  /// A process for each, bound to that CPU; nil leaves it to the scheduler.
  package var cpus: [UInt16?] = [nil]
  /// Connections one process holds. One more is accepted and closed at once, and counted as refused.
  /// Held below RLIMIT_NOFILE.
  package var connectionCountMax: UInt32 = 65_536

  /// With one, a connection whose first byte begins a TLS record is answered over TLS 1.2 or 1.3; the
  /// others go on as they are.
  package var certificate: Certificate?

  /// From the arrival of a request to its answer.
  package var delayNs: UInt64 = 0
  /// Added to the answer of every `stallEvery`th request of a process.
  package var stallNs: UInt64 = 0
  package var stallEvery: UInt64 = 0
  /// Requests that one process serves at once; the others queue, first come first served, and a
  /// place is kept when its client goes away. With `serviceNs` this makes a server whose highest
  /// rate is known: processes × slots / service time, where connections spread evenly.
  package var slotCount: UInt32 = 0
  /// How long a request keeps its slot. Without slots, a delay for each.
  package var serviceNs: UInt64 = 0
  /// From the first request that any process received (not counting `/count`) to the moment from
  /// which nothing is answered any more.
  package var freezeAfterNs: UInt64 = 0
  /// How long nothing is answered. What fell due meanwhile is answered at the end.
  package var freezeForNs: UInt64 = 0

  /// The file that gets the instant of each request's arrival when the target stops: nanoseconds of
  /// CLOCK_MONOTONIC, ascending, as little-endian u64.
  package var arrivalsPath: String?
  /// Arrivals one process notes; the later ones are only counted.
  package var arrivalCountMax: UInt64 = 1_000_000
  /// Waits for the last microseconds before an answer falls due without sleeping. Answers are then
  /// late by less than 5 µs rather than by what the host takes to wake a thread.
  package var spins = false
  /// What the processes' rings stand on.
  package var backend = Backend.auto

  /// What the words of the shop are marked with; 0 for no shop.
  package var shopKey: UInt64 = 0

  package init(address: Address) { self.address = address }

  /// Whether some answers are not due at once.
  var isTimed: Bool { delayNs | stallNs | UInt64(slotCount) | serviceNs | freezeForNs != 0 }
}

extension TargetOptions {
  /// What a process must know, for the memory it shares with the one that started it.
  var words: [UInt64] {
    [
      UInt64(connectionCountMax), delayNs, stallNs, stallEvery, UInt64(slotCount), serviceNs,
      freezeAfterNs, freezeForNs, arrivalsPath == nil ? 0 : arrivalCountMax, spins ? 1 : 0,
      UInt64(Backend.allCases.firstIndex(of: backend) ?? 0), shopKey,
    ] + cpus.map { $0.map(UInt64.init) ?? .max }
  }

  static let wordCountMax = wordCountBeforeCPUs + processCountMax
  private static let wordCountBeforeCPUs = 12

  /// The address stays with the one that listens.
  init(words: [UInt64]) {
    self.init(address: .none)
    precondition(words.count > Self.wordCountBeforeCPUs, "options of another build")
    connectionCountMax = UInt32(words[0])
    delayNs = words[1]
    stallNs = words[2]
    stallEvery = words[3]
    slotCount = UInt32(words[4])
    serviceNs = words[5]
    freezeAfterNs = words[6]
    freezeForNs = words[7]
    arrivalsPath = words[8] == 0 ? nil : ""
    arrivalCountMax = words[8]
    spins = words[9] != 0
    backend = Backend.allCases[Int(words[10])]
    shopKey = words[11]
    cpus = words[Self.wordCountBeforeCPUs...].map { UInt16(exactly: $0) }
  }
}
