"""OpenDKIM's options that are accepted without effect, or refused.

Refused is only what decides which mail is signed, accepted or rejected: to go on without
it would change that silently.  The rest may stay in the file; each is named once in the log.
"""

from __future__ import annotations

from dkimcore.settings.option import Importance, Kind, Option, refused, without_effect

__all__ = ["REFUSED", "WITHOUT_EFFECT"]

BOOLEAN, INTEGER, STRING, DATA_SET = Kind.BOOLEAN, Kind.INTEGER, Kind.STRING, Kind.DATA_SET
COMMON, RARE, OBSOLETE = Importance.COMMON, Importance.RARE, Importance.OBSOLETE

_REPORTS = "failure reports (RFC 6651) are not sent yet"
_LDAP = "data sets of type ldap: are not offered yet"
_DNSSEC = (
    "DNSSEC is the name server's to validate: its AD bit is read, and what it finds bogus it "
    "answers with SERVFAIL, which becomes temperror"
)
_FLOW = "it belongs to RateLimits, which is refused"
_REPUTATION = "reputation queries, an experiment of OpenDKIM's, are not done"
_STATISTICS = "no statistics are written; DkimcoreLogFormat json gives a log to count"
_VBR = "VBR (RFC 5518) is not done"
_ATPS = "ATPS (RFC 6541), an experiment, is not done; the usual signature is made"


def _group(kind: Kind, importance: Importance, because: str, **effects: str) -> tuple[Option, ...]:
    """Return options that are without effect for the same reason."""
    return tuple(
        without_effect(name.replace("_", "-"), kind, importance, effect, because)
        for name, effect in effects.items()
    )


WITHOUT_EFFECT = (
    without_effect(
        *("AllowSHA1Only", BOOLEAN, OBSOLETE),
        "Start though the library has no SHA-256.",
        "SHA-256 is always there; DkimcoreAllowSHA1 is about signatures with rsa-sha1",
    ),
    without_effect(
        *("ATPSDomains", DATA_SET, OBSOLETE), "Author domains that get atps= tags.", _ATPS
    ),
    without_effect(*("ATPSHashAlgorithm", STRING, OBSOLETE), "The hash of atpsh=.", _ATPS),
    without_effect(
        *("BogusKey", STRING, RARE), "What a key record with wrong DNSSEC is worth.", _DNSSEC
    ),
    without_effect(
        *("ConditionalSignatures", DATA_SET, OBSOLETE),
        "Add a weak signature with !cd= for forwarders.",
        "the draft that it follows has expired; the usual signature is made",
    ),
    without_effect(
        *("DisableCryptoInit", BOOLEAN, OBSOLETE),
        "Leave the set-up of OpenSSL to others.",
        "today's OpenSSL sets itself up",
    ),
    without_effect(
        *("DomainKeysCompat", BOOLEAN, OBSOLETE),
        "Accept key records of DomainKeys (RFC 4870).",
        "a key record without v= counts as DKIM's anyway (RFC 6376 section 3.6.1)",
    ),
    *_group(*(DATA_SET, OBSOLETE, _FLOW), FlowData="Where the state of rate limits is kept."),
    *_group(
        *(INTEGER, OBSOLETE, _FLOW),
        FlowDataFactor="A factor for rate limits.",
        FlowDataTTL="How long rates are remembered.",
    ),
    without_effect(
        *("KeepTemporaryFiles", BOOLEAN, RARE),
        "Leave canonical headers and bodies in files.",
        "there are no such files; `dkimcore verify` and `dkimcore why` show what is hashed",
    ),
    *_group(
        *(STRING, RARE, _LDAP),
        LDAPAuthMechanism="How to bind.",
        LDAPAuthName="The SASL name.",
        LDAPAuthRealm="The SASL realm.",
        LDAPAuthUser="The SASL user.",
        LDAPBindPassword="The password to bind with.",
        LDAPBindUser="The DN to bind with.",
        LDAPKeepaliveIdle="Idle seconds before a TCP keepalive.",
        LDAPKeepaliveInterval="Seconds between keepalives.",
        LDAPKeepaliveProbes="Keepalives before giving up.",
        LDAPTimeout="Seconds for a query.",
    ),
    *_group(
        *(BOOLEAN, RARE, _LDAP),
        LDAPDisableCache="Keep no answers.",
        LDAPUseTLS="Use StartTLS.",
    ),
    without_effect(
        *("MilterDebug", INTEGER, RARE),
        "libmilter's debug level.",
        "libmilter is not used; what an MTA does against the milter protocol is always logged",
    ),
    without_effect(
        *("MTACommand", STRING, COMMON), "The program that sends failure reports.", _REPORTS
    ),
    without_effect(
        *("On-ReputationError", STRING, OBSOLETE),
        "What becomes of messages when a reputation query fails.",
        _REPUTATION,
    ),
    without_effect(
        *("QueryCache", BOOLEAN, RARE),
        "Keep key records for their TTL.",
        "that is always done",
    ),
    without_effect(*("ReportAddress", STRING, COMMON), "Who sends failure reports.", _REPORTS),
    without_effect(*("ReportBccAddress", STRING, RARE), "Who gets copies of them.", _REPORTS),
    without_effect(
        *("RequestReports", BOOLEAN, RARE),
        "Write r=y, which asks verifiers for failure reports.",
        "failure reports (RFC 6651) are not asked for yet",
    ),
    *_group(
        *(STRING, OBSOLETE, _REPUTATION),
        ReputationCache="Where answers are kept.",
        ReputationDuplicates="Where bodies that were seen are kept.",
        ReputationLimitModifiers="Changes of limits.",
        ReputationLimits="Limits of unknown domains.",
        ReputationLowTime="Data about new domains.",
        ReputationRatios="Where spam ratios are.",
        ReputationRRDRoot="Where round-robin data are.",
        ReputationSpamCheck="How spam is recognised.",
    ),
    *_group(
        *(INTEGER, OBSOLETE, _REPUTATION),
        ReputationCacheTTL="How long answers are kept.",
        ReputationMinimum="Messages that are always allowed.",
        ReputationRRDHashDepth="How deep their folders are.",
        ReputationTimeFactor="A factor for time.",
        ReputationTimeout="Seconds for a query.",
    ),
    *_group(
        *(BOOLEAN, OBSOLETE, _REPUTATION),
        ReputationTest="Ask and log only.",
        ReputationVerbose="Log more.",
    ),
    without_effect(
        *("ResolverConfiguration", STRING, RARE), "A configuration file for libunbound.", _DNSSEC
    ),
    without_effect(*("SendReports", BOOLEAN, COMMON), "Send failure reports.", _REPORTS),
    without_effect(*("SMTPURI", STRING, RARE), "Send them through this server.", _REPORTS),
    without_effect(
        *("SoftStart", BOOLEAN, RARE),
        "Start though LDAP or SQL does not answer.",
        "data sets in LDAP or SQL are not offered yet",
    ),
    *_group(
        *(STRING, OBSOLETE, _STATISTICS),
        Statistics="Append a record about each message to this file.",
        StatisticsName="Our name in it.",
        StatisticsPolicyScript="A Lua script that adds to it.",
        StatisticsPrefix="A salt that makes names in it anonymous.",
    ),
    without_effect(
        *("TemporaryDirectory", STRING, COMMON),
        "Where temporary files are made.",
        "no temporary files are made: messages are hashed as they arrive",
    ),
    without_effect(
        *("TrustAnchorFile", STRING, COMMON), "The root keys of DNSSEC for libunbound.", _DNSSEC
    ),
    *_group(
        *(STRING, OBSOLETE, _VBR),
        VBR_Certifiers="Who vouches for us.",
        VBR_TrustedCertifiers="Whom to ask about others.",
        VBR_Type="The type of mail in VBR-Info.",
    ),
    *_group(
        *(BOOLEAN, OBSOLETE, _VBR),
        VBR_PurgeFields="Delete VBR fields before signing.",
        VBR_TrustedCertifiersOnly="Ask nobody else.",
    ),
    without_effect(
        *("WeakSyntaxChecks", BOOLEAN, RARE),
        "Go on with signatures whose syntax is wrong.",
        "one signature that is wrong never keeps the others from being verified; it gets "
        "its own result",
    ),
)

_LUA = "Lua is not run, and the script decides about mail"

REFUSED = (
    refused(
        *("FinalPolicyScript", STRING, RARE),
        "A Lua script that decides at the end of a message.",
        f"{_LUA}; say the same with the On-* options, or in the MTA, and take it out",
    ),
    refused(
        *("LuaOnlySigning", BOOLEAN, OBSOLETE),
        "Only Lua scripts decide what is signed.",
        f"{_LUA}; write a SigningTable instead, and take it out",
    ),
    refused(
        *("POPDBFile", DATA_SET, OBSOLETE),
        "Hosts in a POP-before-SMTP database are internal.",
        "such databases are not read, and the mail of their hosts would not be signed; let "
        "clients authenticate, or list their hosts in InternalHosts, and take it out",
    ),
    refused(
        *("RateLimits", DATA_SET, OBSOLETE),
        "Limit how much mail of a domain is accepted.",
        "mail beyond the limits would be accepted; limit it in the MTA (Postfix: "
        "smtpd_client_message_rate_limit), and take it out",
    ),
    refused(
        *("ScreenPolicyScript", STRING, RARE),
        "A Lua script that chooses signatures to verify.",
        f"{_LUA}; use MaximumSignaturesToVerify and TrustSignaturesFrom, and take it out",
    ),
    refused(
        *("SetupPolicyScript", STRING, RARE),
        "A Lua script that decides what is signed or verified.",
        f"{_LUA}; write a SigningTable instead, and take it out",
    ),
)
