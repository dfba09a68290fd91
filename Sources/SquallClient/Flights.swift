internal import SquallEngine

/// One request in flight. All instants are of the monotonic clock.
struct Flight {
  var scheduledNs: UInt64
  var sentNs: UInt64
  /// When it runs out of time.
  var endsNs: UInt64
  /// When the first byte of its answer came; 0 before.
  var firstByteNs: UInt64 = 0
  /// The dialect's name for it, when answers do not come in order; 0 while it waits to be sent again.
  var key: UInt32 = 0
  /// Of a rendered request that may have to be sent again.
  var renderedByteCount: UInt32 = 0
  /// What it is counted under.
  var endpoint: UInt16
  /// The request is HEAD, where it may have to be sent again.
  var expectsNoBody = false
  /// Its neighbours in the order of sending.
  fileprivate var next = FlightList.none
  fileprivate var previous = FlightList.none

  init(scheduledNs: UInt64, sentNs: UInt64, endsNs: UInt64, endpoint: UInt16) {
    self.scheduledNs = scheduledNs
    self.sentNs = sentNs
    self.endsNs = endsNs
    self.endpoint = endpoint
  }
}

/// Where a connection's flights stand among its places.
struct FlightList {
  fileprivate static let none: UInt16 = .max

  fileprivate(set) var count: UInt32 = 0
  fileprivate var first = Self.none
  fileprivate var last = Self.none
  /// Places that were given back, and how many were ever taken.
  fileprivate var free = Self.none
  fileprivate var usedCount: UInt16 = 0

  var isEmpty: Bool { count == 0 }

  /// Where the next flight is put.
  var nextPlace: Int { Int(free == Self.none ? usedCount : free) }

  /// The place of the flight that was sent first. There is one.
  var oldest: Int { Int(first) }
}

/// The requests in flight of all connections, `depth` places each. A flight keeps its place until it
/// ends; the flights of a connection are linked in the order of sending, and any of them may end.
@safe struct Flights: ~Copyable {
  static let depthMax = Int(FlightList.none) - 1

  let depth: Int
  // Written before it is read: places that no request ever took cost no memory.
  private let places: UnsafeMutablePointer<Flight>

  init(connectionCount: Int, depth: Int) {
    precondition((1...Self.depthMax).contains(depth), "no such number of requests in flight")
    self.depth = depth
    unsafe places = .allocate(capacity: max(1, connectionCount * depth))
  }

  deinit { unsafe places.deallocate() }

  subscript(_ row: Int, _ place: Int) -> Flight {
    @inline(__always) get { unsafe places[row &* depth &+ place] }
    @inline(__always) nonmutating _modify { yield &(unsafe places[row &* depth &+ place]) }
  }

  /// Adds a flight behind the others and returns its place. There is one free.
  @inline(__always)
  func append(_ flight: Flight, to list: inout FlightList, of row: Int) -> Int {
    let base = row &* depth
    let place: UInt16
    if list.free != FlightList.none {
      place = list.free
      list.free = unsafe places[base &+ Int(place)].next
    } else {
      precondition(Int(list.usedCount) < depth, "more requests in flight than a connection takes")
      place = list.usedCount
      list.usedCount &+= 1
    }
    unsafe (places + base + Int(place)).initialize(to: flight)
    unsafe places[base &+ Int(place)].previous = list.last
    if list.last == FlightList.none {
      list.first = place
    } else {
      unsafe places[base &+ Int(list.last)].next = place
    }
    list.last = place
    list.count &+= 1
    return Int(place)
  }

  @inline(__always)
  func remove(_ place: Int, from list: inout FlightList, of row: Int) {
    let base = row &* depth
    let (next, previous) = unsafe (
      places[base &+ place].next, places[base &+ place].previous
    )
    if previous == FlightList.none {
      list.first = next
    } else {
      unsafe places[base &+ Int(previous)].next = next
    }
    if next == FlightList.none {
      list.last = previous
    } else {
      unsafe places[base &+ Int(next)].previous = previous
    }
    unsafe places[base &+ place].next = list.free
    list.free = UInt16(truncatingIfNeeded: place)
    list.count &-= 1
  }

  /// The flight sent next after the one at `place`.
  func next(after place: Int, of row: Int) -> Int? {
    let next = unsafe places[row &* depth &+ place].next
    return next == FlightList.none ? nil : Int(next)
  }

  /// The earliest instant at which one of them runs out of time.
  @inline(__always)
  func earliestEndNs(of list: FlightList, _ row: Int) -> UInt64 {
    guard list.count > 1 else { return list.isEmpty ? .max : self[row, list.oldest].endsNs }
    var endsNs = UInt64.max
    var place: Int? = list.oldest
    while let at = place {
      endsNs = min(endsNs, self[row, at].endsNs)
      place = next(after: at, of: row)
    }
    return endsNs
  }
}
