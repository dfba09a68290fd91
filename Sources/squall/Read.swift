import ArgumentParser
import SquallLoad

/// How flags' values are read. What another tool means by a letter is recognised by its value and
/// answered with the flag that means it here.
enum Read {
  static func time(_ text: String) throws -> UInt64 {
    do {
      return try Quantity.durationNs(text)
    } catch {
      throw ValidationError("\(error).")
    }
  }

  /// A time, which may be none.
  static func pause(_ text: String) throws -> UInt64 {
    text == "0" || text == "0s" ? 0 : try time(text)
  }

  /// As Locust counts them: -1 is one per CPU.
  static func processes(_ text: String) throws -> WorkerCount {
    text == "-1" ? .auto : try workers(text)
  }

  static func number(_ text: String) throws -> UInt64 {
    guard let number = UInt64(text) else {
      throw ValidationError("'\(text)' is not a whole number.")
    }
    return number
  }

  static func count(_ text: String) throws -> UInt64 {
    do {
      return try Quantity.count(text)
    } catch {
      throw ValidationError("\(error).")
    }
  }

  /// A name or an address and nothing else.
  static func host(_ text: String) throws -> String {
    let colons = text.filter { $0 == ":" }.count
    let reason: String? =
      if text.isEmpty {
        "is empty"
      } else if text.contains("://") || text.contains("/") {
        "is a URL"
      } else if text.contains("[") || text.contains("]") {
        "has brackets, which only a URL needs"
      } else if colons == 1 {
        "has a port, which has an option of its own"
      } else if !text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value < 0x7f }) {
        "has a space or a character that no host name has"
      } else {
        nil
      }
    guard let reason else { return text }
    throw ValidationError(
      "'\(text)' \(reason): give a name or an address, such as 10.0.0.1 or ::1.")
  }

  /// With or without its `/s`.
  static func rate(_ text: String) throws -> Double {
    do {
      return try Quantity.number(text.hasSuffix("/s") ? String(text.dropLast(2)) : text)
    } catch {
      throw ValidationError("\(error).")
    }
  }

  /// -d is a body in oha and hey.
  static func measuredTime(_ text: String) throws -> UInt64 {
    do {
      return try Quantity.durationNs(text)
    } catch {
      guard let first = text.first, first.isNumber else {
        throw ValidationError(
          "-d '\(text)' is not a time: -d is the duration here, such as -d 10s. "
            + "For a request body use --body.")
      }
      throw ValidationError("\(error).")
    }
  }

  /// -t is a timeout in oha and hey, and the run time in Locust.
  static func workers(_ text: String) throws -> WorkerCount {
    if text == "auto" { return .auto }
    if let count = UInt32(text), count > 0 { return .count(Int(count)) }
    if (try? Quantity.durationNs(text, allowsBareSeconds: false)) != nil, text != "0" {
      throw ValidationError(
        "'\(text)' is not a number of workers: for the time a request may take use "
          + "--timeout \(text), for the time of the run -d \(text).")
    }
    throw ValidationError("'\(text)' is not a number of workers: give a number above 0, or auto.")
  }

  /// Splits a line at spaces outside of single and double quotes, as a shell does.
  static func words(_ line: String) -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    for character in line {
      switch character {
      case quote: quote = nil
      case "'" where quote == nil, "\"" where quote == nil:
        quote = character
        word = word ?? ""
      case " " where quote == nil:
        if let word { words.append(word) }
        word = nil
      default: word = (word ?? "") + String(character)
      }
    }
    if let word { words.append(word) }
    return words
  }

  /// `0,2-3`.
  static func cpuList(_ text: String) throws -> [UInt16] {
    var cpus: [UInt16] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
      guard (1...2).contains(ends.count), let first = ends[0], let last = ends.last ?? nil,
        first <= last, last < 4_096
      else {
        throw ValidationError("'\(text)' is not a list of CPUs: write it as 0,2-3.")
      }
      cpus += Array(first...last)
    }
    return cpus
  }
}

extension NameSpecification {
  /// A letter that may stand before its value without a space, as in `-c64`, and a long name.
  static func short(_ letters: Character...) -> NameSpecification {
    NameSpecification(letters.map { .customShort($0, allowingJoined: true) } + [.long])
  }

  static let workers = NameSpecification(
    [.customLong("workers"), .customLong("threads")]
      + ["w", "t"].map { .customShort($0, allowingJoined: true) })
}

enum WorkerCount: Equatable {
  case auto
  case count(Int)
}
