import Foundation
import Testing

extension EndToEnd {
  /// Each form a result comes in, from the built program.
  @Suite(.serialized) struct OutputTests {
    private func open(_ target: Served) -> [String] {
      ["-R", "1000", "-d", "500ms", "-c", "16", "-w", "1", "--interval", "100ms", target.url]
    }

    /// One run, all its files: they tell of the same requests.
    @Test func allFilesOfARunAgree() throws {
      let folder = try Folder()
      let target = try Served()
      let result = try Squall.run(
        open(target) + [
          "--hdr", folder.path + "/h", "--timeseries", folder.path + "/t", "--csv",
          folder.path + "/l", "--label", "a=b",
        ])
      #expect(result.ok == 500)
      #expect(
        folder.names == [
          "h", "h.hlog", "l_failures.csv", "l_stats.csv", "l_stats_history.csv", "t",
        ])
      #expect(try folder.text("h").contains("Total count    =          500]"))

      var ok = 0
      for line in try folder.text("t").split(separator: "\n") {
        let interval = try Measured(String(line))
        ok += interval.number("ok")
        #expect(interval["response_histogram"] is String)
      }
      #expect(ok == 500)

      let rows = try folder.text("l_stats.csv").split(separator: "\n").map {
        $0.split(separator: ",", omittingEmptySubsequences: false)
      }
      #expect(rows.map(\.count) == [22, 22, 22])
      #expect(rows[0][2] == "Request Count" && rows[2][1] == "Aggregated")
      #expect(rows[1][2] == "500" && rows[2][2] == "500" && rows[2][3] == "0")
      let median = try #require(Double(rows[2][4]))
      #expect(abs(median - result.ms("latency_ns.response.p50")) < 0.001)
      let history = try folder.text("l_stats_history.csv").split(separator: "\n")
      #expect(history.last?.split(separator: ",", omittingEmptySubsequences: false)[17] == "500")
    }

    /// The log, taken apart by a reader that shares nothing with ours: zlib, base 64 and the V2 layout
    /// in twenty lines of Python.
    @Test(.enabled(if: Python.isInstalled, "python3 is not installed"))
    func theHistogramLogIsReadByOthers() throws {
      let folder = try Folder()
      let target = try Served()
      let result = try Squall.run(open(target) + ["--hdr", folder.path + "/h"])
      let python = try Python(script: Self.decoder, arguments: [folder.path + "/h.hlog"])
      #expect(try python.child.awaitEnd() == Child.Ending(code: 0), "\(python.child.errors)")
      let read = try Measured(python.child.output)
      for series in ["response", "service"] {
        #expect(read.number("\(series).count") == result.ok)
        for percentile in ["p50", "p99"] {
          let ours = Double(result.number("latency_ns.\(series).\(percentile)"))
          let theirs = Double(read.number("\(series).\(percentile)"))
          #expect(abs(theirs / ours - 1) <= 0.003, "\(series) \(percentile): \(theirs), \(ours)")
        }
      }
    }

    private static let decoder = """
      import base64, json, struct, sys, zlib
      def histogram(text):
          packed = base64.b64decode(text)
          cookie, length = struct.unpack(">II", packed[:8])
          assert cookie == 0x1c849314 and length == len(packed) - 8
          raw = zlib.decompress(packed[8:])
          cookie, length, offset, digits, low, high, ratio = struct.unpack(">IIIIqqd", raw[:40])
          assert cookie == 0x1c849313 and length == len(raw) - 40 and digits == 3 and ratio == 1
          # Three digits: 2048 sub-buckets, the lowest value a power of two below or at `low`.
          unit, at, index, counts = low.bit_length() - 1, 40, 0, {}
          while at < len(raw):
              word, shift = 0, 0
              while True:
                  byte = raw[at]; at += 1
                  word |= byte << shift if shift == 56 else (byte & 127) << shift
                  shift += 7
                  if byte < 128 or shift == 63: break
              count = (word >> 1) ^ -(word & 1)
              if count < 0:
                  index -= count
                  continue
              if count:
                  bucket, sub = (index >> 10) - 1, (index & 1023) + 1024
                  if bucket < 0: bucket, sub = 0, sub - 1024
                  size = 1 << (bucket + unit)
                  counts[(sub << (bucket + unit)) + size // 2] = count
              index += 1
          return counts
      sums = {}
      for line in open(sys.argv[1]):
          if not line.startswith("Tag="): continue
          tag, start, length, most, text = line.strip().split(",")
          sum = sums.setdefault(tag[4:], {})
          for value, count in histogram(text).items(): sum[value] = sum.get(value, 0) + count
      def quantile(counts, part):
          rank, seen = -(-part * sum_of(counts) // 100), 0
          for value in sorted(counts):
              seen += counts[value]
              if seen >= rank: return value
      def sum_of(counts): return sum_(counts.values())
      sum_ = __builtins__.sum if hasattr(__builtins__, "sum") else __builtins__["sum"]
      print(json.dumps({tag: {"count": sum_of(c), "p50": quantile(c, 50), "p99": quantile(c, 99)}
                        for tag, c in sums.items()}))
      """

    @Test func theHTMLPageIsWholeAndSmall() throws {
      let folder = try Folder()
      let target = try Served()
      let child = try Squall.ended(
        ["run", "--format", "html", "-o", folder.path + "/r.html"] + open(target))
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      #expect(child.output == "")
      let html = try folder.text("r.html")
      #expect(html.utf8.count < 500 * 1024)
      #expect(html.hasPrefix("<!DOCTYPE html>") && html.hasSuffix("</html>\n"))
      #expect(!html.contains(" src=") && !html.contains(" href="))
      // Modules that were put together import nothing and export nothing.
      let script = try #require(html.components(separatedBy: "<script type=\"module\">").last)
      for line in script.split(separator: "\n") {
        #expect(!line.hasPrefix("import ") && !line.hasPrefix("export "), "\(line)")
      }
    }

    @Test func aRunIsOneRowOfCSV() throws {
      let target = try Served()
      let child = try Squall.ended(["run", "--quiet", "--format", "csv"] + open(target))
      let lines = child.output.split(separator: "\n").map {
        $0.split(separator: ",", omittingEmptySubsequences: false)
      }
      #expect(lines.count == 2)
      #expect(lines.first?.count == lines.last?.count)
      let column = try #require(lines[0].firstIndex(of: "ok"))
      #expect(lines[1][column] == "500")
    }

    @Test func objectivesAreJudgedAndDecideTheExitCode() throws {
      let target = try Served(["--delay", "5ms"])
      let met = try Squall.ended(
        ["run", "--slo", "p50>4ms,errors<0.1%", "--slo", "rate>=10"] + open(target))
      #expect(met.ending == Child.Ending(code: 0), "\(met.errors)")
      #expect(met.output.contains("pass  p50>4ms"))
      let failed = try Squall.ended(["run", "--slo", "p50<1ms,p99.9(service)<1h"] + open(target))
      #expect(failed.ending == Child.Ending(code: 3))
      #expect(failed.output.contains("FAIL  p50<1ms  ("), "\(failed.output)")
      #expect(failed.output.contains("pass  p99.9(service)<1h"))
      let misspelt = try Squall.ended(["run", "--slo", "p99<20ms,p99<<1ms", target.url])
      #expect(misspelt.ending == Child.Ending(code: 2))
      #expect(misspelt.errors.contains("column 14"), "\(misspelt.errors)")
    }

    /// A target that serves one request at a time, 4 ms each, takes 250 a second.
    @Test func findComesToTheKnownLimit() throws {
      try onAQuietHost {
        let target = try Served(
          ["--slots", "1", "--service-time", "4ms", "--cpus", "0", "--spin"])
        let child = try Squall.ended([
          "find", target.url, "--slo", "p99<60ms", "-c", "32", "-w", "1", "--start-rate", "200",
          "--settle", "100ms", "--measure", "500ms", "--confirm", "800ms", "--format", "json",
        ])
        #expect([0, 3].contains(child.ending?.code), "\(child.errors)")
        let found = try Measured(child.output)
        #expect((found["steps"] as? [Any])?.count ?? 0 > 3)
        let rate = found["rate_per_s"] as? Double ?? 0
        let isRight =
          abs(rate / 250 - 1) < 0.12 && found["confirmed"] as? Bool == true
        return isRight ? [] : ["\(rate) of 250\n\(child.errors)"]
      }
    }

    @Test func compareTellsASlowerTargetFromTheSame() throws {
      let folder = try Folder()
      let target = try Served()
      func measure(_ name: String, _ query: String) throws -> String {
        let path = folder.path + "/" + name
        let child = try Squall.ended([
          "run", "--quiet", "--format", "json", "-o", path, "-R", "200", "-d", "600ms",
          "--interval", "100ms", "-c", "8", "-w", "1", target.url + query,
        ])
        #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
        return path
      }
      let slow = try measure("slow", "?delay=40ms")
      let slower = try measure("slower", "?delay=80ms")
      let worse = try Squall.ended(["compare", slow, slower, "--fail-on", "p50>+20%"])
      #expect(worse.ending == Child.Ending(code: 4), "\(worse.output)\(worse.errors)")
      #expect(worse.output.split(separator: "\n").allSatisfy { $0.count <= 84 })
      let better = try Squall.ended(["compare", slower, slow, "--fail-on", "p50>+20%"])
      #expect(better.ending == Child.Ending(code: 0), "\(better.output)\(better.errors)")
      let json = try Squall.ended(["compare", slow, slow, "--format", "json"])
      let rows = try Measured(json.output)["metrics"] as? [[String: Any]] ?? []
      #expect(!rows.isEmpty)
      #expect(rows.allSatisfy { $0["verdict"] as? String != "worse" })
      let bad = try Squall.ended(["compare", slow, try folder.file("no", "{}")])
      #expect(bad.ending == Child.Ending(code: 2))
      #expect(bad.errors.contains("not a result of squall"), "\(bad.errors)")
    }

    @Test func interleavedRunsAreComparedInPairs() throws {
      let target = try Served()
      let child = try Squall.ended([
        "run", "-R", "200", "-d", "200ms", "-c", "8", "-w", "1", "--repeat", "3", "--vs",
        "\(target.url)?delay=60ms -R 200 -d 200ms -c 8", "--fail-on", "p50>+10%",
        "\(target.url)?delay=20ms",
      ])
      #expect(child.ending == Child.Ending(code: 4), "\(child.output)\(child.errors)")
      #expect(child.output.hasPrefix("squall compare   in pairs"))
      #expect(child.output.contains("worse"))
      let turns = child.errors.split(separator: "\n").map { String($0.prefix(3)) }
      #expect(turns == ["A 1", "B 1", "A 2", "B 2", "A 3", "B 3"])
      let one = try Squall.ended(["run", "--vs", "-c 1", "--repeat", "1", target.url])
      #expect(one.ending == Child.Ending(code: 2))
    }

    /// What is named stays what it is, and a result that cannot be written is not lost.
    @Test func linksPipesAndDevicesAreWrittenToAndNotReplaced() throws {
      let folder = try Folder()
      let files = FileManager.default
      let target = try Served()
      func run(to name: String) throws -> Child {
        try Squall.ended([
          "run", "--quiet", "-n", "5", "-c", "1", "-w", "1", "--format", "json",
          "-o", "\(folder.path)/\(name)", target.url,
        ])
      }
      let old = try folder.file("old.json", "old")
      try files.createSymbolicLink(atPath: folder.path + "/link", withDestinationPath: old)
      #expect(try run(to: "link").ending == Child.Ending(code: 0))
      #expect(try files.destinationOfSymbolicLink(atPath: folder.path + "/link") == old)
      #expect(try Measured(folder.text("old.json")).ok == 5)

      try #require(mkfifo(folder.path + "/pipe", 0o600) == 0)
      let reader = try Child("cat", [folder.path + "/pipe"])
      #expect(try run(to: "pipe").ending == Child.Ending(code: 0))
      #expect(try reader.awaitEnd() == Child.Ending(code: 0))
      #expect(try Measured(reader.output).ok == 5)
      #expect(!folder.names.contains("pipe.new"))

      try files.createSymbolicLink(atPath: folder.path + "/full", withDestinationPath: "/dev/full")
      let full = try run(to: "full")
      #expect(full.ending == Child.Ending(code: 1))
      #expect(full.errors.contains("cannot write \(folder.path)/full: write: No space left"))
      #expect(try Measured(full.output).ok == 5)
      #expect(try run(to: "").ending == Child.Ending(code: 2))
    }

    @Test func whatStandardOutputDoesNotTakeGoesToStandardError() throws {
      let target = try Served()
      let child = try Child(
        "bash",
        [
          "-c", "exec \"$0\" run --quiet --format json -n 5 -c 1 -w 1 \(target.url) > /dev/full",
          Squall.path,
        ])
      try child.awaitEnd()
      #expect(child.ending == Child.Ending(code: 1), "\(child.errors)")
      #expect(child.errors.contains("standard output could not be written"), "\(child.errors)")
      #expect(child.errors.contains("\"ok\": 5"), "\(child.errors)")
    }

    @Test(arguments: ["--help", "--version", "help run", "doctor"])
    func wordsThatCannotBeWrittenAreAFailure(_ arguments: String) throws {
      let child = try Child("bash", ["-c", "exec \"$0\" \(arguments) > /dev/full", Squall.path])
      #expect(try child.awaitEnd() == Child.Ending(code: 1), "\(child.errors)")
      #expect(
        child.errors.contains("error: standard output could not be written"), "\(child.errors)")
    }

    @Test func repeatedRunsHaveNumberedFiles() throws {
      let folder = try Folder()
      let target = try Served()
      let child = try Squall.ended([
        "run", "--quiet", "-n", "50", "-c", "2", "-w", "1", "--repeat", "2", "--format", "json",
        "-o", folder.path + "/r.json", "--csv", folder.path + "/l", target.url,
      ])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      #expect(folder.names.contains("r.1.json") && folder.names.contains("r.2.json"))
      #expect(folder.names.contains("l.2_stats.csv"))
      #expect(try target.count() == 100)
    }

    @Test func theDoctorSeesThisHost() throws {
      let child = try Squall.ended(["doctor"])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      #expect(child.output.contains("io_uring"))
      #expect(child.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
      let json = try Measured(try Squall.ended(["doctor", "--json"]).output)
      #expect(json["can_measure"] as? Bool == true)
      #expect((json["findings"] as? [Any])?.count ?? 0 >= 11)
    }

    /// A terminal of 80 columns, made by Python, is shown a line an interval; a pipe is shown nothing.
    @Test(
      .enabled(if: Python.isInstalled, "python3 is not installed"),
      arguments: ["", "1"])
    func theLiveLineIsForTerminals(noColor: String) throws {
      let target = try Served(["--delay", "20ms"])
      let arguments = [
        "run", "-R", "300", "-d", "600ms", "--interval", "100ms", "-c", "2", "-w", "1",
        "--drain", "5s", target.url,
      ]
      let piped = try Squall.ended(arguments)
      #expect(!piped.errors.contains("\r") && !piped.errors.contains("ok/s"), "\(piped.errors)")
      let python = try Python(
        script: Self.terminal, arguments: [noColor, Squall.path] + arguments)
      #expect(try python.child.awaitEnd() == Child.Ending(code: 0), "\(python.child.errors)")
      let frames = python.child.output.split(separator: "\r").map(String.init)
        .filter { $0.contains("ok/s") }
      #expect(frames.count >= 3, "\(python.child.output)")
      #expect(python.child.output.contains("2 connections are opened before the load begins"))
      for frame in frames {
        let plain = frame.replacing(/\u{1b}\[[0-9]*[mK]/, with: "")
        #expect(plain.count < 80, "\(plain)")
        #expect(plain.contains("/300 ok/s") && plain.contains("p99 ") && plain.contains("lag "))
        // A hundred a second are all it can take: the rate is short of its target.
        if !noColor.isEmpty { #expect(!frame.contains("\u{1b}[3"), Comment(rawValue: frame)) }
      }
      if noColor.isEmpty { #expect(frames.contains { $0.contains("\u{1b}[33m") }) }
    }

    private static let terminal = """
      import fcntl, os, pty, struct, subprocess, sys, termios
      ours, theirs = pty.openpty()
      fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
      environment = dict(os.environ, NO_COLOR=sys.argv[1], TERM="xterm")
      child = subprocess.Popen(sys.argv[2:], stderr=theirs, stdout=subprocess.DEVNULL, env=environment)
      os.close(theirs)
      try:
          while True:
              bytes = os.read(ours, 65536)
              if not bytes: break
              sys.stdout.buffer.write(bytes)
      except OSError:
          pass
      sys.exit(child.wait())
      """
  }
}
