import SquallLoad

extension SplitMix64 {
  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

  /// Cuts `bytes` at up to `cutCountMax` random places; pieces may be empty.
  mutating func pieces(_ bytes: [UInt8], cutCountMax: Int) -> [ArraySlice<UInt8>] {
    let cuts = (0..<Int.random(in: 0...cutCountMax, using: &self))
      .map { _ in Int.random(in: 0...bytes.count, using: &self) }
    return bytes.cut(at: cuts)
  }
}

extension [UInt8] {
  func cut(at cuts: [Int]) -> [ArraySlice<UInt8>] {
    let places = [0] + cuts.sorted() + [count]
    return zip(places, places.dropFirst()).map { self[$0..<$1] }
  }

  var dripped: [ArraySlice<UInt8>] { indices.map { self[$0...$0] } }
}
