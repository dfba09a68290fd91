internal import SquallLoad
internal import SquallReport

extension LoadChange {
  /// `the load changes at 12 s: 500 requests a second`.
  var sentence: String {
    var parts: [String] = []
    if let rateHz { parts.append("\(Figures.rate(rateHz)) a second") }
    if let connections { parts.append(Figures.count(UInt64(connections), "connection")) }
    if let users {
      let pace = spawnHz.map { ", \(Figures.rate($0)) a second" } ?? ""
      parts.append(Figures.count(UInt64(users), "user") + pace)
    }
    return "the load changes at \(Figures.duration(atNs)): \(parts.joined(separator: "; "))"
  }
}
