/// Slots that keep several values.
///
///     count u16, next u16, selected u16 │ place 0 │ place 1 │ … one place more than values
///
/// The values stand in a ring: the oldest is `count` places before `next`. What is read and written as if
/// it were a single value is the place `selected`.
extension Machine {
  struct List: BitwiseCopyable {
    static let byteCount = 6
    var count: UInt16
    var next: UInt16
    var selected: UInt16
  }

  @inline(__always)
  private func listBase(_ row: Int, _ slot: Int) -> UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(memory + (row &* stride &+ slotOffsets[slot]))
  }

  @inline(__always)
  func list(_ row: Int, _ slot: Int) -> List {
    unsafe listBase(row, slot).loadUnaligned(as: List.self)
  }

  private func setList(_ row: Int, _ slot: Int, _ list: List) {
    unsafe listBase(row, slot).storeBytes(of: list, as: List.self)
  }

  private func placeCount(_ slot: Int) -> Int { Int(program.slots[slot].valueCountMax) + 1 }

  /// Nothing is kept in the slot any more.
  func reset(_ row: Int, _ slot: Int) {
    guard valueStrides[slot] > 0 else { return clear(row, slot) }
    setList(row, slot, List(count: 0, next: 0, selected: 0))
    clear(row, slot)
  }

  func setSelected(_ row: Int, _ slot: Int, _ place: UInt16) {
    var list = list(row, slot)
    list.selected = place
    setList(row, slot, list)
  }

  /// Selects a value by its number from the oldest on.
  func select(_ row: Int, _ slot: Int, value: UInt16) {
    let list = list(row, slot)
    let places = placeCount(slot)
    let place = (Int(list.next) + places - Int(list.count) + Int(value)) % places
    setSelected(row, slot, UInt16(place))
  }

  func selectNext(_ row: Int, _ slot: Int) {
    let place = (Int(list(row, slot).selected) + 1) % placeCount(slot)
    setSelected(row, slot, UInt16(place))
  }

  /// Selects the free place, for what is about to be captured.
  func selectFree(_ row: Int, _ slot: Int) {
    setSelected(row, slot, list(row, slot).next)
    clear(row, slot)
  }

  /// The value in the free place is one of the list's from here on; in a full list the oldest goes.
  func keepFree(_ row: Int, _ slot: Int) {
    guard slotHeader(row, slot) & ~Self.bareBit != 0 else { return }
    var list = list(row, slot)
    list.count = min(list.count + 1, program.slots[slot].valueCountMax)
    list.next = UInt16((Int(list.next) + 1) % placeCount(slot))
    setList(row, slot, list)
  }

  func isFull(_ row: Int, _ slot: Int) -> Bool {
    list(row, slot).count == program.slots[slot].valueCountMax
  }
}
