/// SplitMix64 (Steele, Lea and Flood 2014): every failure here is named by its seed.
struct ParserRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }

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
