/// A request under way.
struct H2Stream: BitwiseCopyable {
  /// 0 when the place is free.
  var id: UInt32 = 0
  /// The caller's name for the request.
  var tag: UInt32
  /// Body bytes of the response so far.
  var bodyByteCount: UInt64 = 0
  var contentLength = ResponseFields.noContentLength
  /// The next byte of the request's body to go out, and how many there are.
  var upload: ByteCursor
  /// What the peer lets us send; a change of its SETTINGS can make it negative (RFC 9113 6.9.2).
  var sendWindow: Int32
  /// What we let the peer send.
  var receiveWindow = H2Connection.windowByteCount
  /// 0 until the final response's head is here.
  var status: UInt16 = 0
  var interimsLeft = ResponseParser.interimCountMax
  var traits: Traits

  struct Traits: OptionSet, BitwiseCopyable, Sendable {
    let rawValue: UInt8
    /// The request is HEAD.
    static let expectsNoBody = Traits(rawValue: 1 << 0)
    /// The caller wants to see the response's body, its fields.
    static let showsBody = Traits(rawValue: 1 << 1)
    static let keepsFields = Traits(rawValue: 1 << 2)
  }
}

/// The streams of a connection, each in the one place its number leads to: a number whose place is
/// taken is never used, as a client need not use them all (RFC 9113 5.1.1).
@safe struct StreamTable: ~Copyable {
  private let places: UnsafeMutablePointer<H2Stream>
  private let mask: UInt32
  private(set) var count: UInt32 = 0

  var capacity: UInt32 { mask + 1 }

  /// - Parameter countMax: streams at a time. Half as many places more, so that a stream that lasts
  ///   costs the others few numbers.
  init(countMax: UInt32) {
    var capacity: UInt32 = 1
    while capacity < countMax + countMax / 2 { capacity *= 2 }
    mask = capacity - 1
    unsafe places = .allocate(capacity: Int(capacity))
    let free = H2Stream(tag: 0, upload: .empty, sendWindow: 0, traits: [])
    unsafe places.initialize(repeating: free, count: Int(capacity))
  }

  deinit { unsafe places.deallocate() }

  @inline(__always)
  private func place(_ id: UInt32) -> UnsafeMutablePointer<H2Stream> {
    unsafe places + Int(id >> 1 & mask)
  }

  @inline(__always)
  func isTaken(_ id: UInt32) -> Bool { unsafe place(id).pointee.id != 0 }

  /// The stream, to be read and changed where it is until another is added or removed; nil when
  /// there is none of this number, which is odd.
  @inline(__always)
  func find(_ id: UInt32) -> UnsafeMutablePointer<H2Stream>? {
    let place = unsafe place(id)
    return unsafe place.pointee.id == id ? place : nil
  }

  @inline(__always)
  mutating func add(_ stream: H2Stream) -> UnsafeMutablePointer<H2Stream> {
    let place = unsafe place(stream.id)
    unsafe place.pointee = stream
    count &+= 1
    return unsafe place
  }

  @inline(__always)
  mutating func remove(_ stream: UnsafeMutablePointer<H2Stream>) {
    unsafe stream.pointee.id = 0
    count &-= 1
  }

  /// The stream at place `index`, below `capacity`; nil when it is free.
  func stream(at index: UInt32) -> UnsafeMutablePointer<H2Stream>? {
    let place = unsafe places + Int(index & mask)
    return unsafe place.pointee.id != 0 ? place : nil
  }

  /// One above `id`, if there is one.
  func first(above id: UInt32) -> UnsafeMutablePointer<H2Stream>? {
    guard count > 0 else { return nil }
    for index in 0..<capacity {
      if let stream = unsafe stream(at: index), unsafe stream.pointee.id > id {
        return unsafe stream
      }
    }
    return nil
  }
}
