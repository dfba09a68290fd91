/// What is to happen, earliest first; of two at one instant, the one that was planned first.
struct EventQueue<Event> {
  private struct Entry {
    var atNs: UInt64
    var order: UInt64
    var event: Event
  }

  private var heap: [Entry] = []
  private var order: UInt64 = 0

  var isEmpty: Bool { heap.isEmpty }
  var nextNs: UInt64? { heap.first?.atNs }

  mutating func add(_ event: Event, atNs: UInt64) {
    order += 1
    heap.append(Entry(atNs: atNs, order: order, event: event))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard isBefore(child, parent) else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func removeFirst() -> (atNs: UInt64, event: Event) {
    heap.swapAt(0, heap.count - 1)
    let first = heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && isBefore(child, least) {
        least = child
      }
      guard least != parent else { break }
      heap.swapAt(parent, least)
      parent = least
    }
    return (first.atNs, first.event)
  }

  private func isBefore(_ one: Int, _ other: Int) -> Bool {
    (heap[one].atNs, heap[one].order) < (heap[other].atNs, heap[other].order)
  }
}
