/// A table of fixed length: plain memory without reference counts. A row is changed where it lies,
/// through a table that is itself constant. Traps on a row that is not there.
@frozen @safe public struct Rows<Element: ~Copyable>: ~Copyable {
  @usableFromInline let base: UnsafeMutablePointer<Element>
  public let count: Int

  @inlinable
  public init(count: Int, _ make: () -> Element) {
    unsafe base = .allocate(capacity: max(1, count))
    for row in 0..<count { unsafe (base + row).initialize(to: make()) }
    self.count = count
  }

  @inlinable
  deinit {
    unsafe base.deinitialize(count: count)
    unsafe base.deallocate()
  }

  /// The row where it lies, for a call that changes others of its owner's parts too.
  @inlinable @inline(__always)
  public func place(_ row: Int) -> UnsafeMutablePointer<Element> {
    precondition(row >= 0 && row < count, "no such row")
    return unsafe base + row
  }

  @inlinable
  public subscript(_ row: Int) -> Element {
    @inline(__always)
    unsafeAddress {
      precondition(row >= 0 && row < count, "no such row")
      return unsafe UnsafePointer(base + row)
    }
    @inline(__always)
    nonmutating unsafeMutableAddress {
      precondition(row >= 0 && row < count, "no such row")
      return unsafe base + row
    }
  }
}

/// Values that wait, first come first served: rows of a table, each at most once, or instants.
@frozen @safe public struct FixedQueue<Element: BitwiseCopyable>: ~Copyable {
  // Memory is written before it is read, and costs nothing until then.
  @usableFromInline let base: UnsafeMutablePointer<Element>
  @usableFromInline let capacity: Int
  @usableFromInline var head = 0
  @usableFromInline var waitingCount = 0

  @inlinable
  public init(capacity: Int) {
    self.capacity = max(1, capacity)
    unsafe base = .allocate(capacity: max(1, capacity))
  }

  @inlinable public var count: Int { waitingCount }

  @inlinable
  deinit { unsafe base.deallocate() }

  /// Traps when more values wait than there can be, which would be one queued twice.
  @inlinable @inline(__always)
  public mutating func append(_ element: Element) {
    precondition(waitingCount < capacity, "a value is queued twice")
    var tail = head &+ waitingCount
    if tail >= capacity { tail &-= capacity }
    unsafe (base + tail).initialize(to: element)
    waitingCount &+= 1
  }

  @inlinable @inline(__always)
  public mutating func popFirst() -> Element? {
    guard waitingCount > 0 else { return nil }
    let element = unsafe base[head]
    head = head &+ 1 == capacity ? 0 : head &+ 1
    waitingCount &-= 1
    return element
  }
}
